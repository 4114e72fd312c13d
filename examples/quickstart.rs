//! Learns from ten photographs of clothes, and reconstructs others.
use zor::prelude::*;

fn main() -> zor::Result<()> {
    let device = Device::flex(); // the CPU
    let clothes = FashionMnist::sample()?.train; // 3,000 photographs
    let (ten, unseen) = (clothes.first_per_class(1)?, clothes.range(2000..3000)?);
    let ten = matrix(&ten.pixels(), ten.len(), &device)?;
    let mut network = Network::dense(&[784, 64, 784]).seed(1).build(&device)?;
    for _ in 0..100 {
        network.train_batch(&Muon::new(0.02), ten.clone(), ten.clone())?;
    }
    let unseen = matrix(&unseen.pixels(), unseen.len(), &device)?;
    println!("{:.2} dB", network.evaluate(unseen.clone(), unseen)?.psnr_db());
    Ok(())
}
