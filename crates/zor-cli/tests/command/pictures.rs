//! Images and folders of images as inputs.

use std::fs;

use crate::support::{done, folder, own_pictures, refused, train, zor};

#[test]
fn images_that_do_not_fit_are_named() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline", "--out", "run"]);
    let reconstruct = |image| ["reconstruct", "--model", "run/model.zor", image];
    image::GrayImage::new(20, 30).save(at.join("small.png")).unwrap();
    fs::write(at.join("text.png"), "not a picture").unwrap();
    refused(at, &reconstruct("small.png"), 2, &["small.png", "20x30", "28x28"]);
    refused(at, &reconstruct("text.png"), 2, &["text.png", "not a PNG, JPEG or WebP"]);
    refused(at, &reconstruct("absent.png"), 2, &["absent.png", "no such file"]);
    image::RgbImage::new(28, 28).save(at.join("colour.png")).unwrap();
    refused(at, &reconstruct("colour.png"), 2, &["colour.png", "grey"]);
    assert!(!at.join("reconstructions.png").exists());
}

#[test]
fn a_network_that_learned_from_a_folder_gives_colour_to_pictures_of_any_size() {
    let folder = folder();
    let at = folder.path();
    own_pictures(&at.join("own"), 8);
    let train = ["train", "cifar-colorization", "--data", "own", "--out", "run", "--json"];
    let output = zor(at, &[&train[..], &["--steps", "3", "--batch", "4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&object["train_samples"], &object["eval_samples"]), (&11.into(), &1.into()));
    for key in ["psnr_db", "mae", "ciede2000", "baselines"] {
        assert!(object.get(key).is_some(), "{key} is missing in {object}");
    }
    assert!(at.join("run/colorization.png").exists());

    let output = zor(at, &["eval", "--model", "run/model.zor", "--data", "own"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("12 images"));

    image::GrayImage::from_pixel(21, 13, image::Luma([90])).save(at.join("grey.png")).unwrap();
    let colorize = ["colorize", "--model", "run/model.zor", "grey.png", "--out", "coloured"];
    let output = zor(at, &colorize);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = image::open(at.join("coloured/grey.png")).unwrap();
    assert_eq!((picture.width(), picture.height(), picture.color().has_color()), (21, 13, true));

    // Nothing is written if one of several images cannot be read, or two would have the same output
    // name.
    fs::write(at.join("text.png"), "no picture").unwrap();
    let two = ["colorize", "--model", "run/model.zor", "grey.png", "text.png", "--out", "other"];
    refused(at, &two, 2, &["text.png", "not a PNG"]);
    let same = ["colorize", "--model", "run/model.zor", "grey.png", "own/../grey.png"];
    refused(at, &same, 2, &["grey.png", "one name"]);
    assert!(!at.join("other").exists() && !at.join("colorized").exists());
}

#[test]
fn folders_that_cannot_be_learned_from_are_refused_by_the_name_of_a_file() {
    let folder = folder();
    let at = folder.path();
    let train = |task: &'static str| ["train", task, "--data", "own", "--steps", "1"];
    refused(at, &train("cifar-colorization"), 2, &["own", "no such folder"]);
    own_pictures(&at.join("own"), 6);
    refused(at, &train("cifar-colorization"), 2, &["6x6", "multiples of 4"]);
    refused(at, &train("cifar-classification"), 2, &["6x6", "25x25", "mlp"]);
    let convolutions = [&train("cifar-reconstruction")[..], &["--network", "conv"]].concat();
    refused(at, &convolutions, 2, &["6x6", "multiples of 4"]);
    let deep = image::ImageBuffer::<image::Rgb<u16>, _>::from_pixel(6, 6, image::Rgb([1, 2, 3]));
    deep.save(at.join("own/11.png")).unwrap();
    refused(at, &train("cifar-reconstruction"), 2, &["11.png", "8 bits"]);
    image::GrayImage::new(6, 6).save(at.join("own/11.png")).unwrap();
    refused(at, &train("cifar-reconstruction"), 2, &["11.png", "grey", "00.png"]);
    assert!(!at.join("runs/cifar-reconstruction/model.zor").exists());
    fs::write(at.join("own.npy"), "no array").unwrap();
    let array = ["train", "cifar-reconstruction", "--data", "own.npy"];
    refused(at, &array, 2, &["own.npy", "not a .npy file"]);
}

#[test]
fn pictures_of_different_sizes_are_resized_and_cropped_alike_everywhere() {
    let folder = folder();
    let at = folder.path();
    for (class, colour) in [("red", [200u8, 20, 20]), ("blue", [20, 20, 200])] {
        fs::create_dir_all(at.join("own").join(class)).unwrap();
        for index in 0..6u8 {
            let side = 12 + 4 * u32::from(index);
            let colour = colour.map(|value| value + index);
            let picture = image::RgbImage::from_pixel(side, side, image::Rgb(colour));
            picture.save(at.join("own").join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    let task = ["train", "classification", "--network", "mlp", "--data", "own", "--steps", "60"];
    refused(at, &[&task[..], &["--out", "run"]].concat(), 2, &["resize"]);
    let sizes = ["--resize", "12x12", "--crop", "8", "--out", "run"];
    fs::write(at.join("own/red/9.png"), "no picture").unwrap();
    refused(at, &[&task[..], &sizes].concat(), 2, &["9.png"]);
    let (_, err) = done(at, &[&task[..], &sizes, &["--skip-damaged"]].concat());
    assert!(err.contains("skipped 1 damaged picture"), "{err}");
    // The model resizes and crops images as in training.
    let (out, _) = done(at, &["eval", "--model", "run", "--data", "own"]);
    assert!(out.contains("12 images") && out.contains("top-1 100.00 %"), "{out}");
    let (out, _) = done(at, &["classify", "--model", "run", "own/blue/5.png"]);
    assert!(out.contains("own/blue/5.png: blue"), "{out}");
    let named = ["train", "fashion-reconstruction", "--resize", "12"];
    refused(at, &named, 2, &["resize", "no effect", "fashion-mnist"]);
    let wrong = ["train", "classification", "--data", "own", "--resize", "0x3"];
    refused(at, &wrong, 2, &["--resize", "WIDTHxHEIGHT"]);
}
