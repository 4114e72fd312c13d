//! The confusion matrix as SVG.

use std::fmt::Write;
use std::path::Path;

use crate::Result;
use crate::tasks::parts::confusion::Confusion;

/// Side of a cell.
const CELL: usize = 44;
/// Room for the names of classes, left and above.
const NAMES: usize = 110;
/// Largest number of classes whose names and numbers a picture has room for.
const MAX_NAMED: usize = 30;

/// Draws a row for each true class and a column for each predicted class, with shares of the row in percent.
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
    let (cell, margin) = if n > MAX_NAMED { (CELL / 4, CELL) } else { (CELL, NAMES) };
    let side = margin + n * cell + cell;
    let mut text = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {side} {side}' font-family='sans-serif' font-size='12'>\n\
         <!-- run {identity} -->\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    for (truth, row) in confusion.rows().enumerate() {
        let all = row.iter().sum::<u32>().max(1);
        for (answer, count) in row.iter().enumerate() {
            let share = f64::from(*count) / f64::from(all);
            let (x, y) = (margin + answer * cell, margin + truth * cell);
            // What is right is green, what is wrong orange; the root shows what is rare.
            let colour = if truth == answer { "#0f766e" } else { "#c2410c" };
            let _ = writeln!(
                text,
                "<rect x='{x}' y='{y}' width='{cell}' height='{cell}' fill='{colour}' fill-opacity='{:.3}'/>",
                share.sqrt()
            );
            if n <= MAX_NAMED && *count > 0 {
                let ink = if share > 0.3 { "white" } else { "#334155" };
                let _ = writeln!(
                    text,
                    "<text x='{}' y='{}' text-anchor='middle' fill='{ink}'>{:.1}</text>",
                    x + cell / 2,
                    y + cell / 2 + 4,
                    100.0 * share
                );
            }
        }
        if n <= MAX_NAMED {
            let name = names.get(truth).map_or("", String::as_str);
            let at = margin + truth * cell + cell / 2;
            let (edge, name) = (margin - 6, escaped(name));
            let _ = writeln!(
                text,
                "<text x='{edge}' y='{}' text-anchor='end'>{name}</text>\n\
                 <text transform='translate({} {edge}) rotate(-45)'>{name}</text>",
                at + 4,
                at + 4
            );
        }
    }
    let _ = writeln!(
        text,
        "<text x='{}' y='{}' text-anchor='middle'>rows: true class; columns: predicted class; % of the row</text>\n</svg>",
        margin + n * cell / 2,
        side - cell / 2
    );
    text
}

/// A name as text of SVG. Names of folders may have characters that XML has not.
fn escaped(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
        for part in
            [">75.0<", ">25.0<", ">100.0<", ">cat &amp; dog<", ">b\u{fffd}\u{fffd}<", "run 0123"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(text.matches("fill-opacity").count(), 4);
    }
}
