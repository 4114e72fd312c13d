//! The schema of a table: the columns that a model reads, their encoding, and the target.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};
use crate::table::csv::Table;

/// Maximum number of categories in a column. Each becomes an input.
const MAX_CATEGORIES: usize = 256;
/// Maximum number of classes.
const MAX_CLASSES: usize = 1 << 16;
/// Minimum number of classes. A single class needs no model.
const MIN_CLASSES: usize = 2;
/// Maximum number of distinct integers that [`TargetKind::Auto`] treats as classes.
const MAX_INTEGER_CLASSES: usize = 20;
/// Maximum number of inputs of all columns together.
pub(super) const MAX_INPUTS: usize = 1 << 16;
/// From here on, `f64` does not represent every integer.
const EXACT: f64 = (1u64 << 53) as f64;

/// Kind of a target column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Classes if the column has text or at most 20 distinct integers; a number otherwise.
    #[default]
    Auto,
    /// Classes.
    Classes,
    /// A number.
    Number,
}

/// The schema of a table: the columns that a model reads, their encoding, and the target.
///
/// A column is numeric if more than half of its values are numbers. It is standardised to mean 0
/// and standard deviation 1, and becomes one input. Any other column is categorical and one-hot
/// encoded: each category becomes an input, 1 in its rows and 0 elsewhere. A column with missing
/// values has an additional input, 1 where the value is missing; its other inputs are 0 there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Schema {
    pub(super) columns: Vec<Column>,
    pub(super) target: Target,
    /// Names of columns without any value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

/// A deserialized schema, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    columns: Vec<Column>,
    target: Target,
    #[serde(default)]
    left_out: Vec<String>,
}

/// A column that a model reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) coding: Coding,
    /// True if the column has an input for missing values.
    pub(super) missing: bool,
}

/// The column that a model predicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) coding: Coding,
}

/// Encoding of a column's cells as numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Coding {
    /// A standardised number.
    Number(Scale),
    /// Categories or classes, in order.
    Categories(Vec<String>),
}

/// Mean and standard deviation of a numeric column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    mean: f64,
    deviation: f64,
}

impl Schema {
    /// Fits a schema that predicts the target column from all columns that are not ignored. Means
    /// and standard deviations are those of `rows` (the training rows); categories and classes are
    /// those of the whole table.
    ///
    /// # Errors
    /// When a column or row does not exist, a target is missing, a numeric column has text, a
    /// column has more than 256 categories, the target has fewer than 2 or more than 65,536
    /// classes, all columns together have more than 65,536 inputs, or no column is left. The
    /// message names file, line and column.
    pub fn fit(
        table: &Table,
        rows: &[usize],
        target: &str,
        kind: TargetKind,
        ignored: &[String],
    ) -> Result<Self> {
        let refused = |message: String| Error::input(format!("{}: {message}", table.name()));
        if rows.is_empty() {
            return Err(refused("no rows are given; give at least one to learn from".to_owned()));
        }
        rows.iter().try_for_each(|&row| table.check_row(row))?;
        let target_column = table.find(target)?;
        let mut is_ignored = vec![false; table.columns().len()];
        for name in ignored {
            is_ignored[table.find(name)?] = true;
        }
        if is_ignored[target_column] {
            let message = "it is both the target and ignored; choose one";
            return Err(table.refused_column(target_column, message));
        }
        let target = Target::fit(table, rows, target_column, kind)?;
        let (mut columns, mut left_out) = (Vec::new(), Vec::new());
        for (column, name) in table.columns().iter().enumerate() {
            if column == target_column || is_ignored[column] {
                continue;
            }
            match Column::fit(table, rows, column)? {
                Some(fitted) => columns.push(fitted),
                None => left_out.push(name.clone()),
            }
        }
        Self { columns, target, left_out }.checked().map_err(refused)
    }

    /// Number of inputs of a model that reads this schema.
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(Column::inputs).fold(0, usize::saturating_add)
    }

    /// Number of outputs of a model: one for each class, or one for a number.
    pub fn outputs(&self) -> usize {
        self.classes().map_or(1, <[String]>::len)
    }

    /// Names of the columns that a model reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Name of the target column.
    pub fn target(&self) -> &str {
        &self.target.name
    }

    /// Classes in the order of the outputs; `None` if the target is a number.
    pub fn classes(&self) -> Option<&[String]> {
        match &self.target.coding {
            Coding::Categories(classes) => Some(classes),
            Coding::Number(_) => None,
        }
    }

    /// Standard deviation of a numeric target; `None` if the target is a class.
    pub fn deviation(&self) -> Option<f32> {
        match &self.target.coding {
            Coding::Categories(_) => None,
            Coding::Number(scale) => Some(scale.deviation as f32),
        }
    }

    /// Converts a standardised output back to the unit of the target. Returns the output itself if
    /// the target is a class.
    pub fn denormalize(&self, value: f32) -> f32 {
        match &self.target.coding {
            Coding::Categories(_) => value,
            Coding::Number(scale) => (f64::from(value) * scale.deviation + scale.mean) as f32,
        }
    }

    /// Notes for the user, one line of plain text each: columns that are left out.
    pub fn notes(&self) -> Vec<String> {
        self.left_out.iter().map(|name| left_out(name)).collect()
    }

    /// Returns the schema if it is valid.
    fn checked(self) -> std::result::Result<Self, String> {
        let target = &self.target.name;
        if self.columns.is_empty() {
            return Err(format!(
                "no column is left to predict {} from; add columns, or ignore fewer",
                quoted(target)
            ));
        }
        let mut names = HashSet::from([target]);
        for Column { name, coding, .. } in &self.columns {
            if !names.insert(name) {
                return Err(format!("two columns are both named {}; rename one", quoted(name)));
            }
            let about = |message| format!("column {}: {message}", quoted(name));
            coding.check(1, MAX_CATEGORIES).map_err(about)?;
        }
        let about = |message| format!("column {}: {message}", quoted(target));
        self.target.coding.check(MIN_CLASSES, MAX_CLASSES).map_err(about)?;
        match self.inputs() {
            0..=MAX_INPUTS => Ok(self),
            inputs => Err(format!(
                "its columns become {inputs} inputs, more than the maximum of {MAX_INPUTS}; leave out \
                 the columns with the most categories (setting `ignore`)"
            )),
        }
    }
}

impl TryFrom<Stored> for Schema {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        let Stored { columns, target, left_out } = stored;
        Self { columns, target, left_out }.checked()
    }
}

impl Column {
    /// Fits the encoding of a column; `None` if the column has no value.
    fn fit(table: &Table, rows: &[usize], column: usize) -> Result<Option<Self>> {
        let contents = Contents::of(table, column);
        if contents.values == 0 {
            return Ok(None);
        }
        let coding = if contents.is_numeric() {
            let advice = "correct it, or leave the cell empty";
            Coding::Number(Scale::fit(table, rows, column, advice)?)
        } else {
            Coding::Categories(categories(table, column)?)
        };
        let name = table.columns()[column].clone();
        Ok(Some(Self { name, coding, missing: contents.values < table.len() }))
    }

    /// Number of inputs.
    pub(super) fn inputs(&self) -> usize {
        let own = match &self.coding {
            Coding::Number(_) => 1,
            Coding::Categories(categories) => categories.len(),
        };
        own + usize::from(self.missing)
    }
}

impl Target {
    fn fit(table: &Table, rows: &[usize], column: usize, kind: TargetKind) -> Result<Self> {
        if let Some(row) = (0..table.len()).find(|&row| table.cell(row, column).is_none()) {
            return Err(missing_target(table, row, column));
        }
        let is_numeric = Contents::of(table, column).is_numeric();
        let has_classes = match kind {
            TargetKind::Auto => !is_numeric || has_few_integers(table, column),
            TargetKind::Classes => true,
            TargetKind::Number => false,
        };
        let coding = match has_classes {
            true => Coding::Categories(classes(table, column, is_numeric)?),
            false => {
                let advice = "correct it, or predict classes";
                Coding::Number(Scale::fit(table, rows, column, advice)?)
            }
        };
        Ok(Self { name: table.columns()[column].clone(), coding })
    }
}

impl Coding {
    /// Checks that scales are finite and positive, and that names are distinct and of a valid
    /// number.
    fn check(&self, min: usize, max: usize) -> std::result::Result<(), String> {
        match self {
            Self::Number(Scale { mean, deviation }) => {
                match mean.is_finite() && deviation.is_finite() && *deviation > 0.0 {
                    true => Ok(()),
                    false => {
                        Err(format!("mean {mean} and deviation {deviation} are not a valid scale"))
                    }
                }
            }
            Self::Categories(names) => {
                if !(min..=max).contains(&names.len()) {
                    return Err(format!(
                        "it has {} categories; the number must be from {min} to {max}",
                        names.len()
                    ));
                }
                let mut seen = HashSet::new();
                match names.iter().find(|name| name.is_empty() || !seen.insert(*name)) {
                    Some(name) => Err(format!("category {} is empty or repeated", quoted(name))),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Scale {
    /// Fits mean and standard deviation to the numbers in some rows. A cell with text anywhere in
    /// the column is an error.
    fn fit(table: &Table, rows: &[usize], column: usize, advice: &str) -> Result<Self> {
        check_numbers(table, column, advice)?;
        let numbers = || rows.iter().filter_map(|&row| table.number(row, column));
        let count = numbers().count() as f64;
        let first = numbers().next().unwrap_or_default();
        // Rounding errors would give equal numbers a tiny deviation.
        if numbers().all(|number| number == first) {
            return Ok(Self { mean: first, deviation: 1.0 });
        }
        let mean = numbers().sum::<f64>() / count;
        let variance = numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / count;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Ok(Self { mean, deviation })
    }

    /// Standardises a number; `None` if the result is not finite as `f32`.
    pub(super) fn standardize(&self, number: f64) -> Option<f32> {
        Some(((number - self.mean) / self.deviation) as f32).filter(|value| value.is_finite())
    }
}

/// Counts of a column's cells: those with a value, and those with a number.
pub(super) struct Contents {
    pub(super) values: usize,
    numbers: usize,
}

impl Contents {
    pub(super) fn of(table: &Table, column: usize) -> Self {
        let rows = || 0..table.len();
        Self {
            values: rows().filter(|&row| table.cell(row, column).is_some()).count(),
            numbers: rows().filter(|&row| table.number(row, column).is_some()).count(),
        }
    }

    /// True if more than half of the values are numbers.
    pub(super) fn is_numeric(&self) -> bool {
        self.numbers > self.values - self.numbers
    }
}

/// The note on a column without any value.
pub(super) fn left_out(name: &str) -> String {
    format!("column {} has no value; it is left out", quoted(name))
}

/// Returns the categories of a column of the whole table, in alphabetical order.
pub(super) fn categories(table: &Table, column: usize) -> Result<Vec<String>> {
    let categories: BTreeSet<&str> =
        (0..table.len()).filter_map(|row| table.cell(row, column)).collect();
    if categories.len() > MAX_CATEGORIES {
        let message = format!(
            "it has {} categories, more than the maximum of {MAX_CATEGORIES}; leave it out (setting \
             `ignore`)",
            categories.len()
        );
        return Err(table.refused_column(column, &message));
    }
    Ok(categories.into_iter().map(str::to_owned).collect())
}

/// Checks that every value of a numeric column is a number.
pub(super) fn check_numbers(table: &Table, column: usize, advice: &str) -> Result<()> {
    let is_text =
        |&row: &usize| table.number(row, column).is_none() && table.cell(row, column).is_some();
    match (0..table.len()).find(is_text) {
        Some(row) => Err(not_a_number(table, row, column, advice)),
        None => Ok(()),
    }
}

/// True if a column has only integers, and at most [`MAX_INTEGER_CLASSES`] distinct ones.
fn has_few_integers(table: &Table, column: usize) -> bool {
    let mut seen = HashSet::new();
    (0..table.len()).all(|row| match table.number(row, column) {
        Some(number) if number.fract() == 0.0 => {
            seen.insert((number + 0.0).to_bits());
            seen.len() <= MAX_INTEGER_CLASSES
        }
        _ => false,
    })
}

/// Returns the classes of a target column: numbers sorted by value, then text in alphabetical
/// order.
fn classes(table: &Table, column: usize, is_numeric: bool) -> Result<Vec<String>> {
    let cell = |row| {
        let text = table.cell(row, column)?;
        let number = table.number(row, column).filter(|_| is_numeric);
        Some(number.and_then(number_name).map_or(Cow::Borrowed(text), Cow::Owned))
    };
    let names: BTreeSet<Cow<'_, str>> = (0..table.len()).filter_map(cell).collect();
    let found = names.len();
    if found < MIN_CLASSES {
        let message =
            "all rows are of one class; add rows of other classes, or choose another target";
        return Err(table.refused_column(column, message));
    }
    if found > MAX_CLASSES {
        let message = format!(
            "it has {found} classes, more than the maximum of {MAX_CLASSES}; predict it as a \
             number, or choose another target"
        );
        return Err(table.refused_column(column, &message));
    }
    let mut names: Vec<String> = names.into_iter().map(Cow::into_owned).collect();
    if is_numeric {
        // The sort is stable, so text keeps its alphabetical order.
        let value = |name: &String| name.parse().unwrap_or(f64::INFINITY);
        names.sort_by(|first, second| value(first).total_cmp(&value(second)));
    }
    Ok(names)
}

/// Returns the name of a numeric class, equal for all spellings of the number (`1`, `1.0`, `01`).
/// `None` for integers too large to be exact.
pub(super) fn number_name(number: f64) -> Option<String> {
    // The addition turns -0 into 0.
    (number.abs() < EXACT).then(|| (number + 0.0).to_string())
}

/// Returns the error for a missing target.
pub(super) fn missing_target(table: &Table, row: usize, column: usize) -> Error {
    table.refused(row, column, "the target is missing; fill it in, or remove the row")
}

/// Returns the error for text where a number is expected.
pub(super) fn not_a_number(table: &Table, row: usize, column: usize, advice: &str) -> Error {
    let cell = quoted(table.cell(row, column).unwrap_or_default());
    table.refused(row, column, &format!("{cell} is not a number; {advice}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn table(text: &str) -> Table {
        Table::parse("t.csv", text.as_bytes()).unwrap()
    }

    fn fit(text: &str, kind: TargetKind) -> Result<Schema> {
        let table = table(text);
        let rows: Vec<usize> = (0..table.len()).collect();
        Schema::fit(&table, &rows, "y", kind, &[])
    }

    fn refused(text: &str, kind: TargetKind, expected: &str) {
        let message = fit(text, kind).unwrap_err().to_string();
        assert!(message.starts_with(expected) && !message.contains('\n'), "{message}");
    }

    #[test]
    fn scales_are_of_the_training_rows_and_categories_of_all() {
        let table = table("n,c,y\n1,red,10.5\n3,blue,20.5\n100,green,70.5\n");
        let schema = Schema::fit(&table, &[0, 1], "y", TargetKind::Auto, &[]).unwrap();
        let categories = ["blue", "green", "red"].map(str::to_owned).to_vec();
        let expected = [
            Column {
                name: "n".to_owned(),
                coding: Coding::Number(Scale { mean: 2.0, deviation: 1.0 }),
                missing: false,
            },
            Column { name: "c".to_owned(), coding: Coding::Categories(categories), missing: false },
        ];
        assert_eq!(schema.columns, expected);
        assert_eq!((schema.inputs(), schema.outputs(), schema.target()), (4, 1, "y"));
        assert_eq!((schema.deviation(), schema.denormalize(2.0)), (Some(5.0), 25.5));
    }

    #[test]
    fn equal_numbers_have_a_deviation_of_one() {
        let schema = fit(&format!("x,y\n{}", "0.1,0.1\n".repeat(7)), TargetKind::Number).unwrap();
        assert_eq!((schema.deviation(), schema.denormalize(0.0)), (Some(1.0), 0.1));
    }

    #[test]
    fn a_target_is_classes_or_a_number() {
        let classes = |cells: &[&str], kind| {
            let rows: String = cells.iter().map(|cell| format!("0;{cell}\n")).collect();
            let schema = fit(&format!("x;y\n{rows}"), kind).unwrap();
            schema.classes().map(<[String]>::to_vec)
        };
        let text = |names: &[&str]| Some(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        let auto = TargetKind::Auto;
        assert_eq!(classes(&["b", "a", "b"], auto), text(&["a", "b"]));
        assert_eq!(classes(&["10", "-1", "9.0", "09", "-0"], auto), text(&["-1", "0", "9", "10"]));
        assert_eq!(classes(&["1", "1,5"], auto), None);
        assert_eq!(classes(&["1", "2"], TargetKind::Number), None);
        assert_eq!(classes(&["1,50", "1,5", "-2"], TargetKind::Classes), text(&["-2", "1.5"]));
        assert_eq!(classes(&["01", "1", "a", "b"], auto), text(&["01", "1", "a", "b"]));
        let large = ["9007199254740993", "9007199254740992"];
        assert_eq!(classes(&large, TargetKind::Classes), text(&[large[1], large[0]]));
        let integers: Vec<String> = (0..21).map(|n| n.to_string()).collect();
        let integers: Vec<&str> = integers.iter().map(String::as_str).collect();
        assert_eq!(classes(&integers, auto), None);
        assert_eq!(classes(&integers[..20], auto), text(&integers[..20]));
    }

    #[test]
    fn columns_are_ignored_by_name_and_left_out_without_values() {
        let table = table("a,b,empty,y\n1,p,NA,0\n2,q,,1\n");
        let fit = |ignored: &[&str]| {
            let ignored: Vec<String> = ignored.iter().map(|&name| name.to_owned()).collect();
            Schema::fit(&table, &[0, 1], "y", TargetKind::Auto, &ignored)
        };
        let schema = fit(&["b"]).unwrap();
        assert_eq!(schema.columns().collect::<Vec<_>>(), ["a"]);
        assert_eq!(schema.notes(), ["column 'empty' has no value; it is left out"]);
        let refused = |ignored: &[&str]| fit(ignored).unwrap_err().to_string();
        assert!(refused(&["a", "b"]).starts_with("t.csv: no column is left to predict 'y' from; "));
        assert!(refused(&["c"]).contains("there is no column 'c'; "));
        assert!(refused(&["y"]).starts_with("t.csv, column 'y': it is both"));
    }

    #[test]
    fn what_cannot_be_learned_is_refused_with_its_place() {
        let auto = TargetKind::Auto;
        refused("x,y\n1,a\n2,\n", auto, "t.csv, line 3, column 'y': the target is missing; ");
        refused("x,y\n1,a\n\n2,b\nq,b\n", auto, "t.csv, line 5, column 'x': 'q' is not a number; ");
        refused("x,y\n1,1.5\n2,2\n3,q\n", auto, "t.csv, line 4, column 'y': 'q' is not a number; ");
        refused("x,y\n1,a\n2,a\n", auto, "t.csv, column 'y': all rows are of one class; ");
        refused("x,z\n1,a\n", auto, "t.csv: there is no column 'y'; ");
        refused("y\na\nb\n", auto, "t.csv: no column is left");
        let many: String = (0..257).map(|n| format!("k{n},{}\n", n % 2)).collect();
        refused(&format!("x,y\n{many}"), auto, "t.csv, column 'x': it has 257 categories");
        let many: String = (0..=MAX_CLASSES).map(|n| format!("1,k{n}\n")).collect();
        refused(&format!("x,y\n{many}"), auto, "t.csv, column 'y': it has 65537 classes");
        let table = table("x,y\n1,a\n2,b\n");
        for (rows, words) in [(&[][..], "no rows are given; "), (&[2], "no row 2; it has 2 rows")] {
            let message = Schema::fit(&table, rows, "y", auto, &[]).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    /// Model files store schemas, so their format must not change.
    #[test]
    fn a_schema_is_kept_as_json() {
        let schema = fit("n,c,e,y\n0.1,p,,yes\n,q,,no\n0.2,q,,no\n", TargetKind::Auto).unwrap();
        let json = serde_json::to_string(&schema).unwrap();
        let expected = concat!(
            r#"{"columns":[{"name":"n","coding":{"number":{"mean":0.15000000000000002,"#,
            r#""deviation":0.05}},"missing":true},{"name":"c","coding":{"categories":["p","q"]},"#,
            r#""missing":false}],"target":{"name":"y","coding":{"categories":["no","yes"]}},"#,
            r#""left_out":["e"]}"#
        );
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), schema);
        let number = fit("n,y\n1,0.1\n2,0.7\n4,0.25\n", TargetKind::Auto).unwrap();
        let json = serde_json::to_string(&number).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), number);
    }

    #[test]
    fn a_schema_that_no_table_has_is_refused() {
        let schema = fit("n,c,y\n1,p,yes\n2,q,no\n", TargetKind::Auto).unwrap();
        let json = serde_json::to_string(&schema).unwrap();
        let changes = [
            (r#""missing":false"#, r#""missing":false,"more":1"#, "unknown field"),
            (r#""deviation":0.5"#, r#""deviation":0.0"#, "are not a valid scale"),
            (r#"["p","q"]"#, r#"["p","p"]"#, "'p' is empty or repeated"),
            (r#"["p","q"]"#, "[]", "it has 0 categories; the number must be from 1 to 256"),
            (
                r#"["no","yes"]"#,
                r#"["no"]"#,
                "it has 1 categories; the number must be from 2 to 65536",
            ),
            (r#""name":"c""#, r#""name":"y""#, "both named 'y'"),
        ];
        for (from, to, words) in changes {
            let changed = json.replace(from, to);
            assert_ne!(changed, json);
            let message = serde_json::from_str::<Schema>(&changed).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
