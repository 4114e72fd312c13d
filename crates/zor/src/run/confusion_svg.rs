//! Confusion matrices as SVG.

use std::path::Path;

use crate::Result;
use crate::svg::{Anchor, Lettering, Paint, Svg};
use crate::task::Confusion;

/// Side of a cell, in pixels.
const CELL: f64 = 44.0;
/// Space for class names on the left and at the top.
const NAMES: f64 = 110.0;
/// Maximum number of classes for which names and numbers fit into the picture.
const MAX_NAMED: usize = 30;

/// Draws a row for each true class and a column for each predicted class, with percentages of the
/// row.
pub(super) fn draw(
    confusion: &Confusion,
    names: &[String],
    path: &Path,
    identity: &str,
) -> Result<()> {
    let text = svg(confusion, names, identity);
    Ok(zor_io::atomic::write(path, text.as_bytes())?)
}

fn svg(confusion: &Confusion, names: &[String], identity: &str) -> String {
    let n = confusion.n_classes();
    let is_named = n <= MAX_NAMED;
    let (cell, margin) = if is_named { (CELL, NAMES) } else { (CELL / 4.0, CELL) };
    let start = |index: usize| margin + index as f64 * cell;
    let side = start(n) + cell;
    let mut svg = Svg::new(side, side);
    svg.comment(&format!("run {identity}"));
    let middle = Lettering::new(Anchor::Middle);
    for (truth, row) in confusion.rows().enumerate() {
        let all = row.iter().sum::<u32>().max(1);
        for (answer, count) in row.iter().enumerate() {
            let share = f64::from(*count) / f64::from(all);
            let (x, y) = (start(answer), start(truth));
            // Correct predictions are green, wrong ones orange; the square root keeps rare ones
            // visible.
            let color = if truth == answer { "#0f766e" } else { "#c2410c" };
            svg.rect([x, y], [cell, cell], Paint::fill(color).opacity(share.sqrt()));
            if is_named && *count > 0 {
                let ink = if share > 0.3 { "white" } else { "#334155" };
                let place = [x + cell / 2.0, y + cell / 2.0 + 4.0];
                svg.text(place, &format!("{:.1}", 100.0 * share), middle.fill(ink));
            }
        }
        if is_named {
            let name = names.get(truth).map_or("", String::as_str);
            let (at, edge) = (start(truth) + cell / 2.0 + 4.0, margin - 6.0);
            svg.text([edge, at], name, Lettering::new(Anchor::End));
            svg.text([at, edge], name, Lettering::new(Anchor::Start).turned(-45.0));
        }
    }
    svg.text(
        [margin + n as f64 * cell / 2.0, side - cell / 2.0],
        "rows: true class; columns: predicted class; % of the row",
        middle,
    );
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_names_and_shares_are_drawn() {
        let mut confusion = Confusion::new(2);
        for (truth, found) in [(0, 0), (0, 0), (0, 0), (0, 1), (1, 1)] {
            confusion.add(truth, found);
        }
        let text = svg(&confusion, &["cat & dog".to_owned(), "b\u{1b}\n".to_owned()], "0123");
        crate::svg::tests::assert_well_formed(&text);
        for part in
            [">75.0<", ">25.0<", ">100.0<", ">cat &amp; dog<", ">b\u{fffd}\u{fffd}<", "run 0123"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(text.matches("fill-opacity").count(), 4);
    }
}
