//! What the numbers of a suite mean: where Zor loses, why, and what would close it.

use super::Suite;

/// In Markdown.
pub(crate) fn of(suite: Suite) -> &'static str {
    match suite {
        Suite::Cifar => {
            "Where Zor loses: behind PCA of the same augmented images by a tenth of a dB, because 500 steps do not reach the limit of linear codes; more \
             steps would. The convolutional autoencoder takes 18 minutes."
        }
        Suite::CifarClassification => {
            "Where Zor loses: to its own promise in time, on a machine where PyTorch takes more than twice as long a step (suite conv). What learns best \
             is backpropagation's own update; rules that stay apart from it are behind it. [classification.md](classification.md) has all rows with their rules and cosines."
        }
        Suite::Classification => {
            "Where Zor loses: nowhere to burn's autodiff; networks for GPUs reach more than 94 % with ten times the weights."
        }
        Suite::Conv => {
            "Where Zor loses: not to PyTorch on this CPU. Outside the 3x3 convolutions (Winograd's algorithm) time goes to the first 2x2 convolution, batch \
             normalisation and gates, which wait for memory; fusing them with each other would save passes."
        }
        Suite::Cost => {
            "Where Zor loses to its own prediction: at batch 10 products run below the rate of large ones, and small networks pay about a third of a \
             microsecond an operation for tensors' book-keeping. One kernel for a whole step would save that."
        }
        Suite::Depth => {
            "Where Zor loses: plain networks of 64 layers and more learn little; so do those of backprop. Residual paths are the remedy."
        }
        Suite::Edge => {
            "Where Zor loses: to what it hoped for in layers of 64 columns out of cache. Rows are short, and lines that are asked for here and there come from memory several times as \
             slowly as all of them in order, which the dense path asks for: where half is silent, asking for the lines that are needed and touching a byte of each, and nothing else, \
             takes three quarters of the dense time in f32 and all of it in int8. Few rows of f32 are all asked for before the first is added; many that come from memory are read \
             in order, needed or not. For int8 a list of rows costs a quarter of the time in cache, and the clock that says what comes from memory is too coarse: cold, the dense \
             path is twice as fast as the runtime's own choice where half or three quarters are silent. With a list, 90 % silent would be 2.6 times as fast as dense. 64x784 has \
             784 outputs to finish, whatever fires. ONNX Runtime is called from Python; its row for an empty network says what of its times that call is. Memory is what a process \
             grows by for each of 64 networks, without libraries."
        }
        Suite::FewShot => {
            "Where Zor loses: to the closed-form projection on the span of the ten images, which takes a millisecond and is the limit of linear codes here. It \
             cannot go on learning. The same network under burn's autodiff with our optimizer gets there too, in five to six times the time."
        }
        Suite::Inference => {
            "Where Zor loses: book-keeping of tensors takes about as long as a small network's products. Weights of 784-64-784 in f32 are 400 KB: reading them once \
             takes what is promised for the whole; int8 weights would be a quarter of that. 3072-728-3072 takes less than reading its weights because \
             those of silent units are skipped."
        }
        Suite::Io => {
            "Where Zor loses: a model is written to a new file and synced before it takes the old one's place, so that none is ever lost; that is \
             what it takes beyond its bytes."
        }
        Suite::Memory => {
            "Where Zor loses: with AdamW, to the promise: two moments a weight, where Muon has one. With Muon and few narrow layers, to AdamW: the squares that it iterates on \
             are as large as a layer. Activity is kept in f32 until its layer has learned; bf16 would halve that."
        }
        Suite::Reconstruction => {
            "Where Zor loses: Newton-Schulz iterations are most of a step. A program in PyTorch could iterate on the Gram matrix as Zor does, and would \
             come closer."
        }
        Suite::Rules => {
            "What is compared, and what it says, is in [classification.md](classification.md)."
        }
        Suite::Silence => {
            "Where Zor loses: in reconstruction, where every unit that is silent is missed, because a code of 64 numbers has none to spare. As it comes is the same network, trained in \
             the same way; in classifiers it has batch normalisation, which the preset without a target has not. [edge.md](edge.md) has the picture."
        }
        Suite::Step => {
            "Where Zor loses: at batch 48 a step of 784-64-784 is 24 million operations, which one core with AVX2 (85 to 110 GFLOP/s) cannot do in a fifth of \
             PyTorch's time; at 3072-728-3072 and batch 512 both sides are products, 11.5 GFLOP at the machine's rate, and PyTorch's MKL multiplies a tenth \
             faster than the library that Zor uses. A faster product (AVX-512, bf16, Strassen's algorithm) would close it; skipping other work cannot."
        }
    }
}
