//! Encoding of the columns of a table as numbers, for models without a target.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, listed, quoted};
use crate::table::csv::Table;
use crate::table::ragged;
use crate::table::records::{Record, number};
use crate::table::schema::{
    Contents, MAX_INPUTS, categories, check_numbers, left_out, number_name,
};

/// Share of the numbers at each end of a column that may be outliers.
const OUTLIERS: f64 = 0.01;
/// Maximum absolute value of a standardised number.
pub const CLIP: f32 = 10.0;

/// The columns that a model without a target reads, and their encoding.
///
/// A column is numeric if more than half of its values are numbers. A number `x` becomes
/// `(x - median) / scale`, clipped to [-10, 10]. The scale is the winsorised standard deviation:
/// that of the column after the smallest and the largest hundredth of its numbers, at least one
/// each, are replaced by the next ones (Tukey 1962, "The future of data analysis"). It is the plain
/// standard deviation if that is 0, and 1 if all numbers are equal. Any other column is categorical
/// and one-hot encoded: each category becomes a value, 1 in its rows and 0 elsewhere. All values of
/// a missing cell are NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Feature>", into = "Vec<Feature>")]
pub struct Features {
    columns: Vec<Feature>,
    /// Values of each column, among those of a row.
    spans: Vec<Range<usize>>,
}

/// A column that a model reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feature {
    name: String,
    coding: Coding,
}

/// Encoding of a column's cells as numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Coding {
    /// A standardised number.
    Number {
        /// Number that becomes 0.
        center: f64,
        /// Distance from the center that becomes 1.
        scale: f64,
    },
    /// Categories, in order.
    Categories(Vec<String>),
}

impl Features {
    /// Fits the encoding of all columns that are not ignored. Scales are those of `rows`;
    /// categories are those of the whole table. Also returns notes for the user, one line of plain
    /// text each: columns that are left out.
    ///
    /// # Errors
    /// When an ignored column does not exist, a numeric column has text, a column has more than 256
    /// categories, all columns together have more than 65,536 values, or no column differs between
    /// rows. The message names file, line and column.
    pub fn fit(table: &Table, rows: &[usize], ignored: &[String]) -> Result<(Self, Vec<String>)> {
        rows.iter().try_for_each(|&row| table.check_row(row))?;
        let mut is_ignored = vec![false; table.columns().len()];
        for name in ignored {
            is_ignored[table.find(name)?] = true;
        }
        let (mut columns, mut notes) = (Vec::new(), Vec::new());
        let mut varies = false;
        for (column, name) in table.columns().iter().enumerate() {
            if is_ignored[column] {
                continue;
            }
            let contents = Contents::of(table, column);
            if contents.values == 0 {
                notes.push(left_out(name));
                continue;
            }
            let coding = Coding::fit(table, rows, column, contents.is_numeric())?;
            let cells = || rows.iter().filter_map(|&row| table.cell(row, column));
            let first = cells().next();
            varies |= cells().any(|cell| Some(cell) != first);
            columns.push(Feature { name: name.clone(), coding });
        }
        let refused = |message: String| Error::input(format!("{}: {message}", table.name()));
        if !columns.is_empty() && !varies {
            return Err(refused(format!(
                "all rows are equal in all columns ({}); give rows that differ",
                listed(columns.iter().map(|column| &column.name))
            )));
        }
        Ok((Self::try_from(columns).map_err(refused)?, notes))
    }

    /// Number of values per row.
    pub fn width(&self) -> usize {
        self.spans.last().map_or(0, |span| span.end)
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True if there are no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Name of a column.
    pub fn name(&self, column: usize) -> &str {
        &self.columns[column].name
    }

    /// Encoding of a column's cells.
    pub fn coding(&self, column: usize) -> &Coding {
        &self.columns[column].coding
    }

    /// Range of a column's values in a row.
    pub fn span(&self, column: usize) -> Range<usize> {
        self.spans[column].clone()
    }

    /// Formats the values of a column in its own unit: a number, or the category with the largest
    /// value.
    pub fn decoded(&self, column: usize, values: &[f32]) -> String {
        match &self.columns[column].coding {
            Coding::Number { center, scale } => {
                let value = f64::from(values.first().copied().unwrap_or_default());
                rounded(value * scale + center)
            }
            Coding::Categories(names) => {
                let best = (0..names.len().min(values.len()))
                    .max_by(|a, b| values[*a].total_cmp(&values[*b]));
                best.map_or_else(String::new, |best| names[best].clone())
            }
        }
    }

    /// Returns an encoder for the rows of a file with this header. Columns are found by name; those
    /// that the model does not have are ignored.
    ///
    /// # Errors
    /// When a column is missing. The message names file and column.
    pub fn encoder(&self, file: &str, header: &[String]) -> Result<RowEncoder<'_>> {
        let places: HashMap<&str, usize> = header.iter().map(String::as_str).zip(0..).collect();
        let mut columns = Vec::new();
        for (Feature { name, coding }, span) in self.columns.iter().zip(&self.spans) {
            let Some(&place) = places.get(name.as_str()) else {
                return Err(Error::input(format!(
                    "{file}: there is no column {}, which the model reads; add it, or train a model \
                     without it: the columns are {}",
                    quoted(name),
                    listed(header)
                )));
            };
            let categories = match coding {
                Coding::Number { .. } => HashMap::new(),
                Coding::Categories(names) => names.iter().map(String::as_str).zip(0..).collect(),
            };
            columns.push(ColumnEncoder { place, coding, categories, span: span.clone() });
        }
        let (file, header) = (file.to_owned(), header.to_vec());
        Ok(RowEncoder { file, header, columns })
    }
}

/// Encoder of rows of a file, for [`Features`].
#[derive(Debug)]
pub struct RowEncoder<'a> {
    file: String,
    header: Vec<String>,
    columns: Vec<ColumnEncoder<'a>>,
}

#[derive(Debug)]
struct ColumnEncoder<'a> {
    /// Place of the cell in a record.
    place: usize,
    coding: &'a Coding,
    /// Index of each category.
    categories: HashMap<&'a str, usize>,
    /// Place among the values.
    span: Range<usize>,
}

impl RowEncoder<'_> {
    /// Encodes a record. The values of missing cells are NaN.
    ///
    /// # Errors
    /// When the record is longer or shorter than the header, a numeric cell is not a finite number,
    /// or a category is unknown. The message names file, line and column.
    pub fn encode(&self, record: &Record<'_>, values: &mut [f32]) -> Result<()> {
        if record.len() != self.header.len() {
            let message = ragged(record.len(), self.header.len(), record.delimiter());
            return Err(Error::input(format!("{}, line {}: {message}", self.file, record.line())));
        }
        for ColumnEncoder { place, coding, categories, span } in &self.columns {
            let values = &mut values[span.clone()];
            let Some(cell) = record.cell(*place) else {
                values.fill(f32::NAN);
                continue;
            };
            let number = || number(cell, record.has_decimal_comma());
            match coding {
                Coding::Number { center, scale } => match number() {
                    Some(number) => {
                        values[0] = (((number - center) / scale) as f32).clamp(-CLIP, CLIP);
                    }
                    None => {
                        let advice = "correct it, or leave the cell empty";
                        let message = format!("{} is not a finite number; {advice}", quoted(cell));
                        return Err(self.refused(record, *place, &message));
                    }
                },
                Coding::Categories(names) => {
                    let by_value = || categories.get(number_name(number()?)?.as_str());
                    let Some(&index) = categories.get(cell).or_else(by_value) else {
                        let message = format!(
                            "{} is an unknown category; correct it, or train with it; the known \
                             ones are {}",
                            quoted(cell),
                            listed(names)
                        );
                        return Err(self.refused(record, *place, &message));
                    };
                    values.fill(0.0);
                    values[index] = 1.0;
                }
            }
        }
        Ok(())
    }

    fn refused(&self, record: &Record<'_>, place: usize, message: &str) -> Error {
        let (file, line, name) = (&self.file, record.line(), quoted(&self.header[place]));
        Error::input(format!("{file}, line {line}, column {name}: {message}"))
    }
}

impl Coding {
    fn fit(table: &Table, rows: &[usize], column: usize, is_numeric: bool) -> Result<Self> {
        if is_numeric {
            check_numbers(table, column, "correct it, or leave the cell empty")?;
            let mut numbers: Vec<f64> =
                rows.iter().filter_map(|&row| table.number(row, column)).collect();
            let (center, scale) = robust_scale(&mut numbers);
            return Ok(Self::Number { center, scale });
        }
        Ok(Self::Categories(categories(table, column)?))
    }

    fn width(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Categories(names) => names.len(),
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        match self {
            Self::Number { center, scale } => {
                match center.is_finite() && scale.is_finite() && *scale > 0.0 {
                    true => Ok(()),
                    false => Err(format!("center {center} and scale {scale} are not valid")),
                }
            }
            Self::Categories(names) => {
                let mut seen = HashSet::new();
                match names.iter().find(|name| name.is_empty() || !seen.insert(*name)) {
                    Some(name) => Err(format!("category {} is empty or repeated", quoted(name))),
                    None if names.is_empty() => Err("it has no categories".to_owned()),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Formats a number with five significant digits.
fn rounded(number: f64) -> String {
    let short = format!("{number:.4e}").parse().unwrap_or(number);
    match short.abs() {
        magnitude if (1e-4..1e9).contains(&magnitude) || magnitude == 0.0 => format!("{short}"),
        _ => format!("{short:e}"),
    }
}

/// Median and scale of numbers, as described at [`Features`].
fn robust_scale(numbers: &mut [f64]) -> (f64, f64) {
    numbers.sort_by(f64::total_cmp);
    let (n, half) = (numbers.len(), numbers.len() / 2);
    if n == 0 {
        return (0.0, 1.0);
    }
    let median = 0.5 * (numbers[(n - 1) / 2] + numbers[half]);
    let cut = ((OUTLIERS * n as f64) as usize).max(1).min((n - 1) / 2);
    let (low, high) = (numbers[cut], numbers[n - 1 - cut]);
    let deviation = |low: f64, high: f64| {
        let values = || numbers.iter().map(|number| number.clamp(low, high));
        let mean = values().sum::<f64>() / n as f64;
        (values().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64).sqrt()
    };
    let scales = [deviation(low, high), deviation(f64::NEG_INFINITY, f64::INFINITY)];
    let is_scale = |scale: &f64| scale.is_finite() && *scale > 1e-12 * median.abs();
    (median, scales.into_iter().find(is_scale).unwrap_or(1.0))
}

impl TryFrom<Vec<Feature>> for Features {
    type Error = String;

    fn try_from(columns: Vec<Feature>) -> std::result::Result<Self, String> {
        if columns.is_empty() {
            return Err("no column is left to learn from; add columns, or ignore fewer".to_owned());
        }
        let mut names = HashSet::new();
        let mut spans = Vec::with_capacity(columns.len());
        let mut end = 0usize;
        for Feature { name, coding } in &columns {
            if !names.insert(name) {
                return Err(format!("two columns are both named {}; rename one", quoted(name)));
            }
            coding.check().map_err(|message| format!("column {}: {message}", quoted(name)))?;
            spans.push(end..end + coding.width());
            end += coding.width();
        }
        match end {
            0..=MAX_INPUTS => Ok(Self { columns, spans }),
            _ => Err(format!(
                "its columns become {end} values, more than the maximum of {MAX_INPUTS}; leave out \
                 the columns with the most categories (setting `ignore`)"
            )),
        }
    }
}

impl From<Features> for Vec<Feature> {
    fn from(features: Features) -> Self {
        features.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAINING: &str = "n,c,k\n1,red,5\n3,,5\n,blue,5\n2,red,5\n";

    fn table(text: &str) -> Table {
        Table::parse("t.csv", text.as_bytes()).unwrap()
    }

    fn fit(text: &str) -> Result<(Features, Vec<String>)> {
        let table = table(text);
        let rows: Vec<usize> = (0..table.len()).collect();
        Features::fit(&table, &rows, &[])
    }

    /// Encodes the rows of a table; errors as their messages.
    fn encode(features: &Features, text: &str) -> Vec<std::result::Result<Vec<f32>, String>> {
        let table = table(text);
        let encoder = features.encoder(table.name(), table.columns()).unwrap();
        let row = |row: usize| {
            let mut values = vec![0.0; features.width()];
            let encoded = encoder.encode(&table.record(row), &mut values);
            encoded.map(|()| values).map_err(|error| error.to_string())
        };
        (0..table.len()).map(row).collect()
    }

    #[test]
    fn numbers_are_standardised_and_categories_are_one_hot() {
        let (features, notes) = fit(TRAINING).unwrap();
        assert_eq!((features.width(), features.len(), notes.len()), (4, 3, 0));
        let spans: Vec<_> = (0..3).map(|column| features.span(column)).collect();
        assert_eq!(spans, [0..1, 1..3, 3..4]);
        // The order of columns does not matter, and others are ignored.
        let found = encode(&features, "more,k,c,n\nx,5,red,2\n,6,?,1000\n");
        assert_eq!(found[0], Ok(vec![0.0, 0.0, 1.0, 0.0]));
        let row = found[1].clone().unwrap();
        assert_eq!((row[0], row[3]), (CLIP, 1.0));
        assert!(row[1].is_nan() && row[2].is_nan());
        assert_eq!(features.decoded(0, &[0.0]), "2");
        assert_eq!(features.decoded(1, &[0.2, 0.1]), "blue");
    }

    #[test]
    fn a_scale_resists_outliers_and_is_never_zero() {
        let scale = |numbers: &[f64]| robust_scale(&mut numbers.to_vec());
        let (center, robust) = scale(&[0.0, 1.0, 2.0, 3.0, 4.0, 1e6]);
        assert!(center == 2.5 && (1.0..1.5).contains(&robust), "{robust}");
        let many: Vec<f64> =
            (0..1000).map(|x| if x < 10 { 1e9 } else { f64::from(x % 7) }).collect();
        let (center, robust) = scale(&many);
        assert!(center == 3.0 && (1.9..2.1).contains(&robust), "{robust}");
        assert_eq!(scale(&[7.0, 7.0]), (7.0, 1.0));
        assert!(scale(&[0.0, 0.0, 0.0, 0.0, 1.0]).1 > 0.0);
        assert_eq!(scale(&[]), (0.0, 1.0));
    }

    #[test]
    fn a_number_is_shown_with_five_digits() {
        let found = [0.0, 12.019_999, -3.0, 1e-7, 123_456.0, 1.5e12].map(rounded);
        assert_eq!(found, ["0", "12.02", "-3", "1e-7", "123460", "1.5e12"]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_refused_with_its_place() {
        let (features, _) = fit(TRAINING).unwrap();
        let found = encode(&features, "n,c,k\nx,red,5\n1,green,5\n1e99,red,5\n1,red,inf\n");
        for (found, expected) in found.iter().zip([
            "t.csv, line 2, column 'n': 'x' is not a finite number; ",
            "t.csv, line 3, column 'c': 'green' is an unknown category; ",
            "t.csv, line 4, column 'n': '1e99' is not a finite number; ",
            "t.csv, line 5, column 'k': 'inf' is not a finite number; ",
        ]) {
            let message = found.as_ref().unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
        let message = features.encoder("u.csv", &["n".to_owned()]).unwrap_err().to_string();
        assert!(message.starts_with("u.csv: there is no column 'c', which the model"), "{message}");
    }

    #[test]
    fn a_table_without_anything_to_learn_is_refused() {
        let refused = |text: &str, words: &str| {
            let message = fit(text).unwrap_err().to_string();
            assert!(message.starts_with("t.csv") && message.contains(words), "{message}");
        };
        refused("a,b\n1,x\n1,x\n", "all rows are equal in all columns ('a', 'b')");
        refused("a\n?\n?\n", "no column is left to learn from");
        refused("a\n1\n2\nx\n", "line 4, column 'a': 'x' is not a number");
        let many: String = (0..257).map(|n| format!("k{n}\n")).collect();
        refused(&format!("a\n{many}"), "it has 257 categories");
        let (_, notes) = fit("a,b\n1,\n2,\n").unwrap();
        assert_eq!(notes, ["column 'b' has no value; it is left out"]);
    }

    /// Model files store features, so their format must not change.
    #[test]
    fn features_are_kept_as_json() {
        let (features, _) = fit(TRAINING).unwrap();
        let json = serde_json::to_string(&features).unwrap();
        let expected = concat!(
            r#"[{"name":"n","coding":{"number":{"center":2.0,"scale":0.816496580927726}}},"#,
            r#"{"name":"c","coding":{"categories":["blue","red"]}},"#,
            r#"{"name":"k","coding":{"number":{"center":5.0,"scale":1.0}}}]"#
        );
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Features>(&json).unwrap(), features);
        for (from, to, words) in [
            ("1.0", "0.0", "are not valid"),
            ("\"red\"", "\"blue\"", "empty or repeated"),
            ("\"k\"", "\"n\"", "both named 'n'"),
            (r#"["blue","red"]"#, "[]", "it has no categories"),
        ] {
            let message =
                serde_json::from_str::<Features>(&json.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
