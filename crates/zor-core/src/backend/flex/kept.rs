//! Decoding: attention and copies from keys and values that are kept of earlier positions.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::copies::Columns;
use super::lanes::dot;
use super::memory::{Grid, readable, reuse, size, values, values_mut};
use super::passes::simd;
use crate::backend::{AttentionSettings, CopySettings};

pub(super) fn keep_rows(
    kept: FlexTensor,
    rows: FlexTensor,
    first: usize,
    from: usize,
) -> FlexTensor {
    let (mut kept, rows) = (readable(kept), readable(rows));
    let [n, columns] = size(&rows);
    let width = columns - from;
    assert_eq!(size(&kept)[1], width, "kept rows have other columns");
    let to = &mut values_mut(&mut kept)[first * width..(first + n) * width];
    for (to, row) in to.chunks_exact_mut(width).zip(values(&rows).chunks_exact(columns)) {
        to.copy_from_slice(&row[from..]);
    }
    kept
}

pub(super) fn attend_kept(
    input: FlexTensor,
    kept: FlexTensor,
    buffer: FlexTensor,
    settings: &AttentionSettings,
) -> FlexTensor {
    let (input, kept) = (readable(input), readable(kept));
    let [rows, columns] = size(&input);
    let width = columns / 3;
    let head_size = width / settings.heads;
    let mut output = reuse(buffer, [rows, width]);
    let Some(step) = settings.sequences.step() else { return output };
    let scale = 1.0 / (head_size as f32).sqrt();
    let (x, kept) = (values(&input), values(&kept));
    let out = Grid::new(values_mut(&mut output), width);
    (0..rows).into_par_iter().for_each(|row| {
        simd(
            #[inline(always)]
            || {
                // SAFETY: every row is visited once.
                let output = unsafe { out.row(row, 0, width) };
                output.fill(0.0);
                let own = step.hypotheses[row].rows.iter().map(|row| *row as usize);
                for seen in step.prefix(row).chain(own) {
                    let seen = &kept[seen * 2 * width..(seen + 1) * 2 * width];
                    for head in 0..settings.heads {
                        let part = head * head_size..(head + 1) * head_size;
                        let queries = &x[row * columns..][part.clone()];
                        let score = dot(queries, &seen[part.clone()]) * scale;
                        if score <= settings.threshold {
                            continue;
                        }
                        let head_values = &seen[width..][part.clone()];
                        for (y, value) in output[part].iter_mut().zip(head_values) {
                            *y += score * value;
                        }
                    }
                }
            },
        );
    });
    output
}

pub(super) fn add_copies_kept(
    output: FlexTensor,
    projected: FlexTensor,
    kept: FlexTensor,
    settings: &CopySettings,
) -> FlexTensor {
    let (mut output, projected) = (readable(output), readable(projected));
    let kept = readable(kept);
    let columns = Columns::of(&projected, settings);
    let Some(step) = settings.sequences.step() else { return output };
    let ([rows, vocabulary], half) = (size(&output), columns.half());
    let (x, kept) = (values(&projected), values(&kept));
    let out = Grid::new(values_mut(&mut output), vocabulary);
    for row in 0..rows {
        // SAFETY: every row is visited once.
        let output = unsafe { out.row(row, 0, vocabulary) };
        for seen in step.prefix(row) {
            for head in 0..columns.heads {
                let part = head * columns.size..(head + 1) * columns.size;
                let queries = &x[row * 2 * half..][part.clone()];
                let score = dot(queries, &kept[seen * half..][part]) * columns.scale();
                if score <= 0.0 {
                    continue;
                }
                let (tokens, parts) = CopySettings::copied(&step.beginning, head, seen);
                for (token, part) in tokens.iter().zip(parts) {
                    output[*token as usize] += score * part;
                }
            }
        }
    }
    output
}
