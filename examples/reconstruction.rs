//! Trains an autoencoder on 64 photographs, with a code of 728 numbers, about a quarter of the
//! 3,072 values of a photograph, and evaluates it on 2,000 others.
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks;
use zor::training::evaluate::evaluate;

const STEPS: u64 = 400;

fn main() -> zor::Result<()> {
    let device = Device::flex();
    let cifar = Cifar10::load(&Locations::from_environment(None))?;
    let few = cifar.train.first(64)?;
    // Data augmentation: shifts, stretches and flips, with mirrored borders.
    let augment = Augment { border: Border::Mirror, stretch: 0.3, ..Augment::shifts_and_flips(4) };
    let batches = Batches::new(Augmented::new(few, augment)?, 512, Order::Shuffled, 1)?;

    // At this threshold nearly all units fire: the code of a photograph needs all its numbers.
    let rule = Rule { threshold: -2.0, ..Rule::default() };
    let mut network = Network::dense(&[3072, 728, 3072]).rule(rule).build(&device)?;
    let optimizer = Muon::new(Schedule::linear(0.05, STEPS));

    let mut batch = Batch::default();
    for step in 0..STEPS {
        batches.fill(step, &mut batch);
        let images = matrix(batch.inputs.numbers(), batch.rows, &device)?;
        let error = network.train_batch(&optimizer, images.clone(), images)?;
        if step % 50 == 49 {
            println!("step {}: {:.2} dB on the batch", step + 1, error.psnr_db());
        }
    }
    let test = cifar.test.first(2000)?;
    let plan = Plan::of(tasks::named("cifar-reconstruction")?);
    let score = evaluate(&network, &plan, &test, &device)?;
    println!("{:.2} dB on 2,000 test images", score.deviation.psnr_db());
    Ok(())
}
