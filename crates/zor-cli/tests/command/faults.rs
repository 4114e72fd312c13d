//! Faults during training: output streams that fail, full disks, and unusual names, values and
//! sizes.

use std::fs;
use std::process::Stdio;

use crate::support::{SHORT, command, done, folder, json, own_pictures, record, refused, train};

#[cfg(target_os = "linux")]
fn full() -> fs::File {
    fs::File::options().write(true).open("/dev/full").unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stderr_costs_nothing() {
    let folder = folder();
    let at = folder.path();
    let status = command(at, &["info", "nowhere"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
    for commands in
        [&["eval", "--model", "nowhere"][..], &["train", "knitting"], &["data", "path", "cifar-10"]]
    {
        let status = command(at, commands).stderr(full()).stdout(Stdio::null()).status().unwrap();
        assert!(status.code().is_some(), "{commands:?}");
    }
    let train = [&SHORT[..], &["--json", "--out", "run"]].concat();
    let output = command(at, &train).stderr(full()).stdout(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json(&String::from_utf8(output.stdout).unwrap())["steps"], 12);
    assert_eq!(record(&at.join("run"))["state"], "done");
}

#[cfg(unix)]
#[test]
fn a_reader_of_stderr_who_left_costs_nothing() {
    let folder = folder();
    let train = [&SHORT[..], &["--checkpoint-every", "3", "--json", "--out", "run"]].concat();
    let mut child = command(folder.path(), &train)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json(&String::from_utf8(output.stdout).unwrap())["steps"], 12);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_costs_no_file() {
    let folder = folder();
    let train = [&SHORT[..], &["--no-baseline", "--json", "--out", "run"]].concat();
    let status =
        command(folder.path(), &train).stdout(full()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(record(&folder.path().join("run"))["state"], "done");
    assert!(folder.path().join("run/reconstructions.png").exists());
}

/// Some files of the run cannot be written. A folder in the place of a file has this effect for
/// root too, where `chmod` would not.
#[test]
fn a_training_outlives_files_that_cannot_be_written() {
    let folder = folder();
    let at = folder.path();
    for name in ["checkpoint-00000006.zor", "curve.svg"] {
        fs::create_dir_all(at.join("run").join(name).join("inside")).unwrap();
    }
    let more = ["--no-baseline", "--json", "--checkpoint-every", "3", "--out", "run"];
    let output = crate::support::zor(at, &[&SHORT[..], &more].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "a picture is missing");
    assert!(text.contains("checkpoint-00000006.zor") && text.contains("curve.svg"), "{text}");
    assert_eq!(json(&String::from_utf8(output.stdout).unwrap())["steps"], 12);
    for name in ["model.zor", "checkpoint-00000012.zor", "reconstructions.png"] {
        assert!(at.join("run").join(name).exists(), "{name}");
    }
}

#[test]
fn an_image_that_is_reconstructed_without_error_ends_in_files_that_can_be_read() {
    let folder = folder();
    let at = folder.path();
    own_pictures(&at.join("own"), 8);
    // Every tenth image is an evaluation image, and this one is black: its error is zero, and its
    // PSNR infinite.
    image::RgbImage::new(8, 8).save(at.join("own/09.png")).unwrap();
    for name in ["10.png", "11.png"] {
        fs::remove_file(at.join("own").join(name)).unwrap();
    }
    let task = ["train", "cifar-reconstruction", "--data", "own", "--json", "--out", "run"];
    let more = ["--steps", "20", "--checkpoint-every", "5", "--keep", "1"];
    let object = json(&done(at, &[&task[..], &more].concat()).0);
    assert!(object["psnr_db"].is_null() && object["mae"] == 0.0, "{object}");
    let metrics = fs::read_to_string(at.join("run/metrics.jsonl")).unwrap();
    for line in metrics.lines() {
        assert!(json(line)["eval_psnr_db"].is_null(), "{line}");
    }
    let curve = fs::read_to_string(at.join("run/curve.svg")).unwrap();
    assert!(!curve.contains("inf") && !curve.contains("NaN"), "{curve}");
    done(at, &["train", "--resume", "run", "--steps", "25"]);
    done(at, &["info", "run"]);
    done(at, &["reconstruct", "--model", "run", "own/09.png"]);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_are_no_reason_to_fail() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let at = folder.path();
    crate::support::classes(&at.join("own"), &["a", "b"], 6);
    let task = ["train", "fashion-classification", "--network", "mlp", "--data", "own"];
    done(at, &[&task[..], &["--steps", "2", "--batch", "4", "--out", "run"]].concat());
    let name = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
    let (picture, model, images) =
        (name(b"caf\xe9.png"), name(b"mod\xe9l.zor"), name(b"im\xe9ges"));
    fs::copy(at.join("own/a/0.png"), at.join(picture)).unwrap();
    fs::copy(at.join("run/model.zor"), at.join(model)).unwrap();
    fs::create_dir(at.join(images)).unwrap();
    let run = |arguments: &[&OsStr]| {
        let output = command(at, &[]).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("panicked") && !text.contains("unwrap"), "{text}");
        (output.status.code(), text)
    };
    let word = |text: &'static str| OsStr::new(text);
    for json in [&[][..], &[word("--json")]] {
        let classify = [word("classify"), word("--model"), model, picture];
        assert_eq!(run(&[&classify[..], json].concat()).0, Some(0));
        let eval = [word("eval"), word("--model"), model, word("--data"), word("own")];
        assert_eq!(run(&[&eval[..], json].concat()).0, Some(0));
        let export = [
            word("export"),
            model,
            word("--data"),
            word("own"),
            word("--out"),
            name(b"x\xe9.zore"),
        ];
        assert_eq!(run(&[&export[..], json].concat()).0, Some(0));
    }
    for command in ["info", "verify"] {
        assert_eq!(run(&[word(command), model]).0, Some(0));
    }
    // Settings are UTF-8 and cannot represent this path.
    let train = [word("train"), word("fashion-classification"), word("--data"), images];
    let (code, text) = run(&train);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--data") && text.contains("UTF-8"), "{text}");
    let out = [
        word("train"),
        word("fashion-reconstruction"),
        word("--no-baseline"),
        word("--steps"),
        word("2"),
        word("--json"),
        word("--out"),
        name(b"out\xe9"),
    ];
    assert_eq!(run(&out).0, Some(0));
}

#[cfg(unix)]
#[test]
fn control_characters_in_names_do_not_reach_a_terminal() {
    let folder = folder();
    let at = folder.path();
    crate::support::classes(&at.join("own"), &["a\u{1b}[2J", "b\nc"], 6);
    let task = ["train", "fashion-classification", "--network", "mlp", "--data", "own"];
    let (out, err) =
        done(at, &[&task[..], &["--steps", "2", "--batch", "4", "--out", "run"]].concat());
    let (more, _) = done(at, &["classify", "--model", "run", "own/b\nc/0.png"]);
    let (info, _) = done(at, &["info", "run"]);
    for text in [&out, &err, &more, &info] {
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
    assert_eq!(more.lines().count(), 1, "{more:?}");
    let picture = fs::read_to_string(at.join("run/confusion.svg")).unwrap();
    assert!(!picture.contains('\u{1b}'), "{picture:?}");
    let output = crate::support::zor(at, &["info", "no\nthing\u{1b}[2J"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text:?}");
}

/// Opening a pipe without a writer would block forever.
#[cfg(unix)]
#[test]
fn pipes_are_refused_as_inputs() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline", "--out", "run"]);
    for name in
        ["pipe", "pipe.png", "pipe.zor", "pipe.npy", "pipe.safetensors", "pipe.zore", "pipe.toml"]
    {
        let made = std::process::Command::new("mkfifo").arg(at.join(name)).status();
        assert!(made.unwrap().success());
    }
    fs::create_dir(at.join("own")).unwrap();
    fs::rename(at.join("pipe.png"), at.join("own/pipe.png")).unwrap();
    let calls: [&[&str]; 11] = [
        &["info", "pipe"],
        &["info", "pipe.zor"],
        &["info", "pipe.safetensors"],
        &["verify", "pipe.zore"],
        &["eval", "--model", "pipe"],
        &["reconstruct", "--model", "run", "own/pipe.png"],
        &["train", "--resume", "pipe"],
        &["train", "--config", "pipe.toml"],
        &["train", "cifar-reconstruction", "--data", "pipe.npy"],
        &["train", "cifar-reconstruction", "--data", "own"],
        &["convert", "pipe.zor", "a.npz"],
    ];
    for arguments in calls {
        let mut child = command(at, arguments).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(crate::support::code(&mut child), Some(2), "{arguments:?}");
    }
}

#[test]
fn sizes_beyond_memory_are_refused_before_the_training() {
    let folder = folder();
    let at = folder.path();
    for batch in ["1000000000000", "4611686018427387905", "9223372036854775807"] {
        let train =
            ["train", "fashion-reconstruction", "--no-baseline", "--steps", "2", "--batch", batch];
        refused(at, &train, 2, &["batch", "memory", "--batch"]);
    }
    let beyond = ["train", "fashion-reconstruction", "--batch", "18446744073709551615"];
    refused(at, &beyond, 2, &["--batch", "at most 9223372036854775807"]);
    fs::create_dir(at.join("own")).unwrap();
    for name in ["0.png", "1.png", "2.png"] {
        image::RgbImage::new(1024, 768).save(at.join("own").join(name)).unwrap();
    }
    let hidden = "task = 'cifar-reconstruction'\ndata = 'own'\nsteps = 1\nhidden = 1000000\n";
    fs::write(at.join("own.toml"), hidden).unwrap();
    refused(
        at,
        &["train", "--config", "own.toml"],
        2,
        &["1024x768", "GB", "hidden", "smaller images"],
    );
    assert!(!at.join("runs").exists());
}

/// The process limit on memory is lower than the network needs.
#[cfg(target_os = "linux")]
#[test]
fn a_process_with_little_memory_ends_with_a_message() {
    let folder = folder();
    let at = folder.path();
    fs::create_dir(at.join("own")).unwrap();
    for name in ["0.png", "1.png", "2.png"] {
        image::RgbImage::new(512, 512).save(at.join("own").join(name)).unwrap();
    }
    let zor = env!("CARGO_BIN_EXE_zor");
    let script = format!(
        "ulimit -v 3000000; exec {zor} train cifar-reconstruction --data own --steps 2 --batch 2 --threads 1"
    );
    let output =
        std::process::Command::new("sh").args(["-c", &script]).current_dir(at).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("512x512") && text.contains("GB"), "{text}");
}

#[test]
fn a_training_without_a_terminal_says_a_line_at_its_start_and_one_at_its_end() {
    let folder = folder();
    let (_, text) = done(folder.path(), &[&SHORT[..], &["--no-baseline"]].concat());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("12 steps, training on 10 images"), "{text}");
    assert!(lines[1].contains("after step 12") && lines[1].contains("dB"), "{text}");
}
