//! Tests of detectors through the public interface: scores, damage, learning on the device.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use zor_edge::{
    DType, DetectError, Detector, DetectorLearner, DetectorSettings, LayerSource, LayerSpec,
    LearnError, Network, Optimizer, ProgramError, Scoring, Stage, memory_len, reseal, write,
    write_detector,
};

/// Two rows of a number and a column with two categories: six values.
const SCORING: Scoring<'_> = Scoring {
    window: 2,
    centers: &[10.0, 0.0],
    scales: &[2.0, 1.0],
    categories: &[0, 2],
    errors: &[1.0, 0.5, 1.0, 0.5],
    masks: &[0b0011, 0b1100],
    threshold: 1.5,
};

/// A network that restores every value as 0.5.
fn program_with(scoring: &Scoring<'_>) -> Result<Vec<u8>, ProgramError> {
    let weights = [0; 12 * 6 * 4];
    let shape = LayerSpec { has_biases: true, ..LayerSpec::dense(12, 6) };
    let layer = LayerSource { shape, weights: &weights, scales: &[], biases: &[0.5; 6] };
    let mut bytes = Vec::new();
    let put = |piece: &[u8]| bytes.extend_from_slice(piece);
    let length = write_detector(DType::F32, [1, 1, 12], &[layer], scoring, put)?;
    assert_eq!(length, bytes.len());
    Ok(bytes)
}

fn aligned(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn a_score_is_the_mean_of_the_roots_of_errors_over_the_known_cells() {
    let words = aligned(&program_with(&SCORING).unwrap());
    let detector = Detector::from_bytes(bytemuck::cast_slice(&words)).unwrap();
    assert_eq!((detector.row_len(), *detector.scoring()), (4, SCORING));
    let mut scratch = vec![f32::NAN; detector.scratch_len()];
    // A number of 0 after standardisation has the error 0.25; a category has 0.5 in all.
    let score = detector.score(&[10.0, 1.0, 10.0, 0.0], &mut scratch).unwrap();
    assert!((score - 0.75).abs() < 1e-6, "{score}");
    let mut parts = [0.0; 4];
    let row = [13.0, f32::NAN, 1e9, 1.0];
    let score = detector.score_parts(&row, &mut parts, &mut scratch).unwrap();
    // 1.5 - 0.5, missing, clipped to 10, and a category.
    assert!(parts[1].is_nan());
    for (part, expected) in [parts[0], parts[2], parts[3]].into_iter().zip([1.0, 9.5, 1.0]) {
        assert!((part - expected).abs() < 1e-5, "{parts:?}");
    }
    assert!((score - 11.5 / 3.0).abs() < 1e-5 && detector.is_alarm(score));
    assert_eq!(detector.score(&[f32::NAN; 4], &mut scratch), Ok(0.0));
    assert!(!detector.is_alarm(f32::NAN));
    // The network is there without the detector too.
    assert!(Network::from_bytes(bytemuck::cast_slice(&words)).is_ok());
}

#[test]
fn rows_and_memory_that_do_not_fit_are_refused() {
    let words = aligned(&program_with(&SCORING).unwrap());
    let detector = Detector::from_bytes(bytemuck::cast_slice(&words)).unwrap();
    let mut scratch = vec![0.0; detector.scratch_len()];
    assert_eq!(detector.score(&[1.0; 3], &mut scratch), Err(DetectError::Row));
    let mut parts = [0.0; 3];
    let found = detector.score_parts(&[1.0; 4], &mut parts, &mut scratch);
    assert_eq!(found, Err(DetectError::Parts));
    for n in 0..scratch.len() {
        assert_eq!(detector.score(&[1.0; 4], &mut scratch[..n]), Err(DetectError::Scratch), "{n}");
    }
    for category in [2.0, -1.0, 0.5, f32::INFINITY, 1e20] {
        let found = detector.score(&[1.0, 0.0, 1.0, category], &mut scratch);
        assert_eq!(found, Err(DetectError::Category { column: 1 }), "{category}");
    }
    let hard = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-42, -0.0];
    for value in hard {
        let score = detector.score(&[value, 0.0, 1.0, 1.0], &mut scratch).unwrap();
        assert!(score.is_finite(), "{value}: {score}");
    }
}

#[test]
fn damaged_sections_are_refused_and_named() {
    let sound = program_with(&SCORING).unwrap();
    let at = u32::from_le_bytes(sound[24..28].try_into().unwrap()) as usize;
    let refused = |place: usize, number: u32| {
        let mut bytes = sound.clone();
        bytes[place..place + 4].copy_from_slice(&number.to_le_bytes());
        reseal(&mut bytes);
        let words = aligned(&bytes);
        let error = Network::from_bytes(bytemuck::cast_slice(&words)).unwrap_err();
        assert_eq!(Detector::from_bytes(bytemuck::cast_slice(&words)).unwrap_err(), error);
        error.to_string()
    };
    let nan = f32::NAN.to_bits();
    let cases = [
        (24, u32::MAX - 3, "truncated"),
        (24, 16, "offset"),
        (24, at as u32 + 4, ""),
        (24, at as u32 + 1, "offset"),
        (at, 0, "no columns"),
        (at, 1 << 15, "truncated"),
        (at, u32::MAX, "too many cells"),
        (at + 4, 0, "no window"),
        (at + 4, 1, "columns do not fit"),
        (at + 8, 0, "no passes"),
        (at + 8, 3, "truncated"),
        (at + 8, u32::MAX, "truncated"),
        (at + 12, nan, "threshold"),
        (at + 16, nan, "center"),
        (at + 24, 0, "scale"),
        (at + 32, 5, "columns do not fit"),
        (at + 36, u32::MAX, "columns do not fit"),
        (at + 40, 0, "expected error"),
        (at + 56, 0b1_0000, "cells that do not exist"),
    ];
    for (place, number, words) in cases {
        let error = refused(place, number);
        assert!(error.contains("the detector of the program: "), "{place}: {error}");
        assert!(error.contains(words), "{place}: {error}");
    }
    let mut short = sound.clone();
    short.truncate(sound.len() - 4);
    reseal(&mut short);
    let words = aligned(&short);
    let error = Network::from_bytes(bytemuck::cast_slice(&words)).unwrap_err();
    assert_eq!(error, ProgramError::Detector("its section is truncated"));
}

#[test]
fn a_scoring_that_does_not_fit_is_not_written_and_a_network_alone_is_no_detector() {
    let short = Scoring { errors: &[1.0; 3], ..SCORING };
    assert!(matches!(program_with(&short), Err(ProgramError::Detector(_))));
    let weights = [0; 8];
    let shape = LayerSpec::dense(2, 1);
    let layer = LayerSource { shape, weights: &weights, scales: &[], biases: &[] };
    let mut bytes = Vec::new();
    write(DType::F32, [1, 1, 2], &[layer], |piece| bytes.extend_from_slice(piece)).unwrap();
    let words = aligned(&bytes);
    let found = Detector::from_bytes(bytemuck::cast_slice(&words));
    assert_eq!(found.unwrap_err(), ProgramError::NoDetector);
}

/// A sensor of six values, of which the last three follow the first three.
fn row(time: usize, is_strange: bool) -> [f32; 6] {
    let noise = |at: usize| ((time * 7919 + at * 104_729) % 1000) as f32 / 1000.0 - 0.5;
    let values = [0, 1, 2].map(|at| 20.0 + 5.0 * noise(at) + at as f32);
    let sign = if is_strange { -1.0 } else { 1.0 };
    let follow = [0, 1, 2].map(|at| 100.0 * sign * noise(at) + 3.0 * noise(at + 10));
    [values[0], values[1], values[2], follow[0], follow[1], follow[2]]
}

const SETTINGS: DetectorSettings = DetectorSettings { hidden: 32, ..DetectorSettings::new(6) };

/// Learns from the first rows. Returns the number of rows that it took.
fn learned(detector: &mut DetectorLearner<'_>) -> usize {
    let mut time = 0;
    let mut errors = Vec::new();
    while detector.stage() != Stage::Ready {
        if detector.stage() == Stage::Training {
            assert_eq!(detector.score(&row(0, false)), Err(DetectError::Learning));
            // Its scoring is not complete.
            assert!(detector.write_program(|_| ()).is_err());
            errors.push(detector.train());
        } else {
            detector.push(&row(time, false)).unwrap();
            time += 1;
        }
    }
    let mean = |some: &[f32]| some.iter().sum::<f32>() / some.len() as f32;
    let n = errors.len();
    assert_eq!(n, SETTINGS.steps as usize);
    assert!(mean(&errors[n - 20..]) < 0.6 * mean(&errors[..20]), "{errors:?}");
    time
}

#[test]
fn a_detector_learns_what_is_normal_and_finds_what_is_not() {
    let mut memory = vec![f32::NAN; memory_len(&SETTINGS)];
    let mut detector = DetectorLearner::new(SETTINGS, &mut memory).unwrap();
    assert_eq!(learned(&mut detector), 2 * SETTINGS.rows);
    let mut alarms = |is_strange| {
        let rows = (1000..1400).map(|time| row(time, is_strange));
        let scores: Vec<f32> = rows.map(|row| detector.score(&row).unwrap()).collect();
        scores.iter().filter(|score| detector.is_alarm(**score)).count()
    };
    let (normal, strange) = (alarms(false), alarms(true));
    assert!(normal < 40 && strange > 320, "{normal} and {strange} of 400");
    // A missing value is known from the others.
    let mut gap = row(5000, false);
    gap[4] = f32::NAN;
    assert!(detector.score(&gap).unwrap().is_finite());
    assert_eq!(detector.push(&[0.0; 5]), Err(DetectError::Row));

    let mut bytes = Vec::new();
    detector.write_program(|piece| bytes.extend_from_slice(piece)).unwrap();
    let words = aligned(&bytes);
    let saved = Detector::from_bytes(bytemuck::cast_slice(&words)).unwrap();
    let mut scratch = vec![0.0; saved.scratch_len()];
    for time in 2000..2050 {
        let values = row(time, time % 2 == 0);
        let (a, b) =
            (detector.score(&values).unwrap(), saved.score(&values, &mut scratch).unwrap());
        assert!((a - b).abs() < 1e-4 * a, "{a} and {b}");
        assert_eq!(detector.is_alarm(a), saved.is_alarm(b));
    }
}

#[test]
fn values_that_are_missing_equal_or_not_finite_do_no_harm() {
    let hard = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, 1e-42];
    let optimizers =
        [SETTINGS.optimizer, Optimizer::Sgd { rate: 1e30, momentum: 1.0 }, Optimizer::CLASSIC];
    for (at, optimizer) in optimizers.into_iter().enumerate() {
        let settings = DetectorSettings { steps: 30, optimizer, ..SETTINGS };
        let mut memory = vec![0.0; memory_len(&settings)];
        let mut detector = DetectorLearner::new(settings, &mut memory).unwrap();
        let mut time = at;
        while detector.stage() != Stage::Ready {
            let mut values = row(time, false);
            values[0] = hard[time % hard.len()];
            values[1] = 7.0;
            values[2] = f32::NAN;
            detector.push(&values).unwrap();
            assert!(!detector.train().is_nan());
            time += 1;
        }
        for value in hard {
            let score = detector.score(&[value; 6]).unwrap();
            assert!(score.is_finite(), "{value}: {score}");
        }
        assert!(detector.write_program(|_| ()).is_ok());
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let wrong = [
        DetectorSettings { cells: 0, ..SETTINGS },
        DetectorSettings { hidden: 0, ..SETTINGS },
        DetectorSettings { rows: 0, ..SETTINGS },
        DetectorSettings { batch: 65, ..SETTINGS },
        DetectorSettings { steps: 0, ..SETTINGS },
        DetectorSettings { passes: 0, ..SETTINGS },
        // Of 64 rows, one in a hundred cannot be promised.
        DetectorSettings { false_alarm_rate: 0.01, ..SETTINGS },
        DetectorSettings { false_alarm_rate: f32::NAN, ..SETTINGS },
        DetectorSettings {
            optimizer: Optimizer::Sgd { rate: f32::NAN, momentum: 0.0 },
            ..SETTINGS
        },
    ];
    for settings in wrong {
        let mut memory = [0.0; 9];
        let found = DetectorLearner::new(settings, &mut memory);
        assert_eq!(found.unwrap_err(), LearnError::Settings, "{settings:?}");
    }
    let mut memory = [0.0; 9];
    let found = DetectorLearner::new(SETTINGS, &mut memory);
    assert_eq!(found.unwrap_err(), LearnError::Memory);
}
