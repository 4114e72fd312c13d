//! Evaluation, description, use, conversion and export of saved models.

use std::fs;
use std::process::Command;

use crate::support::{folder, refused, train, zor};

#[test]
fn a_saved_model_is_evaluated_described_and_used_on_images() {
    let folder = folder();
    let trained = train(folder.path(), &["--no-baseline", "--out", "run"]);
    let model = "run/model.zor";
    let output = zor(folder.path(), &["eval", "--model", model, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let evaluated: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(evaluated["eval_samples"], 1000);
    // The last digits may differ in another process.
    let difference = evaluated["psnr_db"].as_f64().unwrap() - trained["psnr_db"].as_f64().unwrap();
    assert!(difference.abs() < 1e-6, "{difference}");

    let output = zor(folder.path(), &["info", model]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("dense") && text.contains("task: fashion-reconstruction"), "{text}");

    image::GrayImage::new(28, 28).save(folder.path().join("own.png")).unwrap();
    let output = zor(folder.path(), &["reconstruct", "--model", model, "own.png"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = image::open(folder.path().join("reconstructions.png")).unwrap();
    assert!(picture.height() > 2 * 28);
}

#[test]
fn a_saved_classifier_names_what_it_sees() {
    let folder = folder();
    for (class, rows) in [("above", 0..4), ("below", 4..8)] {
        fs::create_dir_all(folder.path().join("own").join(class)).unwrap();
        for index in 0..10u8 {
            let light = |_, y| image::Luma([if rows.contains(&y) { 150 + 9 * index } else { 0 }]);
            let path = folder.path().join(format!("own/{class}/{index}.png"));
            image::GrayImage::from_fn(8, 8, light).save(path).unwrap();
        }
    }
    let arguments =
        "train fashion-classification --network mlp --data own --steps 60 --json --out run";
    let output = zor(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!([&object["eval_samples"], &object["train_samples"]], [2, 18]);
    assert_eq!(object["per_class"]["above"], 1.0, "{object}");
    assert!(object["cosine"].as_f64().is_some_and(|cosine| cosine < 1.0), "{object}");
    let picture = fs::read_to_string(folder.path().join("run/confusion.svg")).unwrap();
    assert!(picture.contains(">above<"), "{picture}");
    let classify =
        ["classify", "--model", "run/model.zor", "own/below/3.png", "own/above/3.png", "--json"];
    let output = zor(folder.path(), &classify);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let classes = [0, 1].map(|index| object["images"][index]["class"].clone());
    assert_eq!(classes, ["below", "above"]);
    let model = train(folder.path(), &["--no-baseline", "--out", "other"]);
    assert!(model.get("psnr_db").is_some());
    let other = ["classify", "--model", "other/model.zor", "own/below/3.png"];
    refused(
        folder.path(),
        &other,
        2,
        &["other/model.zor", "fashion-reconstruction", "`zor classify` needs a model of"],
    );
}

#[test]
fn a_model_goes_through_every_format_and_comes_back_the_same() {
    let folder = folder();
    train(folder.path(), &["--no-baseline", "--out", "run"]);
    let done = |arguments: &[&str]| {
        let output = zor(folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}");
        String::from_utf8(output.stdout).unwrap()
    };
    let model = "run/model.zor";
    done(&["convert", model, "a.safetensors"]);
    done(&["convert", "a.safetensors", "a.zor"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read(model) == read("a.zor"));
    done(&["convert", "a.safetensors", "b.zor", "--like", model]);
    assert!(read(model) == read("b.zor"));
    for dtype in ["f16", "bf16", "int8"] {
        done(&["convert", model, "small.zor", "--dtype", dtype]);
        assert!(read("small.zor").len() < read(model).len());
        done(&["verify", "small.zor"]);
    }
    done(&["convert", model, "a.npz"]);
    assert!(done(&["verify", model]).contains("digest valid"));
    assert!(done(&["verify", "a.safetensors"]).contains("digest valid"));
    assert!(done(&["info", "a.safetensors"]).contains("1.weight"));
    fs::remove_file(folder.path().join("a.safetensors.sha256")).unwrap();
    assert!(done(&["verify", "a.safetensors"]).contains("no digest"));

    let at = folder.path();
    refused(at, &["convert", model, "a.onnx"], 2, &["a.onnx", ".safetensors"]);
    refused(at, &["convert", "a.npz", "c.zor"], 2, &["a.npz", "does not read"]);
    refused(at, &["convert", model, "c.zor", "--dtype", "f8"], 2, &["f8", "bf16"]);
    refused(at, &["convert", model, "c.npz", "--dtype", "f16"], 2, &["f16", ".zor"]);
    let mut bytes = read("a.zor");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(at.join("a.zor"), bytes).unwrap();
    refused(at, &["verify", "a.zor"], 2, &["a.zor", "damaged"]);
}

/// Runs the Python program of docs/files.md.
#[test]
fn python_and_numpy_answer_as_the_network_does() {
    let numpy = Command::new("python3").args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no python3 with numpy");
        return;
    }
    let folder = folder();
    train(folder.path(), &["--no-baseline", "--out", "run"]);
    let converted = zor(folder.path(), &["convert", "run/model.zor", "model.npz"]);
    assert_eq!(converted.status.code(), Some(0));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/files.md");
    let page = fs::read_to_string(page).unwrap();
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let (network, _) =
        zor::io::load(&folder.path().join("run/model.zor"), &zor::prelude::Device::flex()).unwrap();
    let input: Vec<f32> = (0..784).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(folder.path().join("image.f32"), bytes).unwrap();
    let answer =
        network.predict(zor::prelude::matrix(&input, 1, network.device()).unwrap()).unwrap();
    let output = Command::new("python3")
        .args(["-c", program.unwrap()])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let numbers = fs::read(folder.path().join("answer.f32")).unwrap();
    let numbers = numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let expected: Vec<f32> = answer.into_data().iter::<f32>().collect();
    assert_eq!(numbers.len(), expected.len());
    for (found, expected) in numbers.zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    }
}

#[test]
fn a_model_becomes_a_program_that_does_as_well() {
    let folder = folder();
    let at = folder.path();
    let trained = train(at, &["--no-baseline", "--target-spike-rate", "0.3", "--out", "run"]);
    let export = |more: &[&str]| -> serde_json::Value {
        let output = zor(at, &[&["export", "run/model.zor", "--json"], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
    };
    let exact = export(&[]);
    let psnr = |object: &serde_json::Value| object["psnr_db"].as_f64().unwrap();
    assert!((psnr(&exact) - psnr(&trained)).abs() < 1e-3, "{exact} {trained}");
    let length = |name: &str| fs::metadata(at.join(name)).unwrap().len();
    assert_eq!(exact["bytes"], length("run/model.zore"));
    let small = export(&["--format", "edge", "--int8", "--out", "small.zore"]);
    assert!(length("small.zore") as f64 <= 0.27 * length("run/model.zore") as f64);
    assert!((psnr(&small) - psnr(&trained)).abs() < 0.2, "{small} {trained}");
    assert_eq!(small["spike_rates"].as_array().map(Vec::len), Some(1));

    let output = zor(at, &["info", "small.zore"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("int8") && text.contains("layer 1: Dense -> 1x1x784"), "{text}");
    assert_eq!(zor(at, &["verify", "small.zore"]).status.code(), Some(0));
    refused(at, &["convert", "run/model.zor", "other.zore"], 2, &["other.zore", "zor export"]);
    refused(at, &["convert", "small.zore", "other.zor"], 2, &["small.zore", "not read back"]);
    let mut damaged = fs::read(at.join("small.zore")).unwrap();
    damaged[500] ^= 1;
    fs::write(at.join("damaged.zore"), damaged).unwrap();
    refused(at, &["verify", "damaged.zore"], 2, &["damaged.zore", "checksum"]);
    refused(at, &["export", "nothing.zor"], 2, &["nothing.zor"]);
    refused(at, &["export", "run/model.zor", "--format", "tflite"], 2, &["tflite", "edge"]);
    refused(at, &["export", "run/model.zor", "--out", "no/where.zore"], 1, &["no/where.zore"]);
    refused(at, &["export", "run/model.zor", "--data-dir", "nowhere"], 2, &["nowhere"]);
}

#[test]
fn damaged_data_and_models_end_with_two_and_name_the_file() {
    let folder = folder();
    let at = folder.path();
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    for name in names {
        fs::write(at.join(format!("{name}-ubyte")), [0, 0, 8, 3, 0, 0]).unwrap();
    }
    let train = ["train", "fashion-reconstruction", "--data-dir", "."];
    refused(at, &train, 2, &["train-images-idx3-ubyte", "ends inside its header"]);

    fs::write(at.join("model.zor"), b"ZORMODEL and nothing more").unwrap();
    refused(at, &["info", "model.zor"], 2, &["model.zor"]);
    refused(at, &["eval", "--model", "absent.zor"], 2, &["absent.zor", "no such file"]);
    refused(at, &["reconstruct", "--model", "absent.zor", "x.png"], 2, &["absent.zor"]);
}
