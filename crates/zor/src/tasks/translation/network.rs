//! The network of translation: one stack of attention over source and target.

use zor_core::{
    BranchConfig, CopyingConfig, DenseConfig, DropoutConfig, GateConfig, Network, NetworkBuilder,
    RmsNormConfig, SpikeAttentionConfig, TiedEmbeddingConfig,
};

use crate::error::{Error, Result};
use crate::settings::Settings;

/// Columns of a query of the copying output.
const COPYING: usize = 64;
/// Units of a feed-forward layer for each column of an embedding.
const FEED_FORWARD: usize = 4;

/// Blocks of spike attention and feed-forward layers with residual connections (compare Vaswani et
/// al. 2017), normalised before each (Xiong et al. 2020), between tied embeddings. The prefix is
/// the source. The output copies tokens of the source, and those that a lexicon suggests.
pub(super) fn network(settings: &Settings, vocabulary: usize) -> Result<NetworkBuilder> {
    let options = &settings.translation;
    let (width, heads) = (settings.hidden, options.heads);
    if !width.is_multiple_of(2 * heads) {
        return Err(Error::input(format!(
            "hidden is {width} and translation.heads {heads}; each head needs an even number of \
             columns: make hidden a multiple of {}",
            2 * heads
        )));
    }
    let dropout = || DropoutConfig::new(options.dropout);
    let attention = SpikeAttentionConfig {
        threshold: options.attention_threshold,
        ..SpikeAttentionConfig::new(heads)
    };
    let copies = CopyingConfig { suggestions: options.lexicon, ..CopyingConfig::new(COPYING) };
    let mut embedding = TiedEmbeddingConfig::new(vocabulary, width).copies(copies).layer(dropout());
    for _ in 0..options.blocks {
        let attended = BranchConfig::residual()
            .layer(RmsNormConfig::default())
            .layer(DenseConfig::new(3 * width))
            .layer(attention)
            .layer(RmsNormConfig::default())
            .layer(DenseConfig::new(width))
            .layer(dropout());
        let fed_forward = BranchConfig::residual()
            .layer(RmsNormConfig::default())
            .layer(DenseConfig::new(FEED_FORWARD * width))
            .layer(GateConfig::default())
            .layer(dropout())
            .layer(DenseConfig::new(width))
            .layer(dropout());
        embedding = embedding.layer(attended).layer(fed_forward);
    }
    Ok(Network::builder(&[1]).layer(embedding.layer(RmsNormConfig::default())))
}
