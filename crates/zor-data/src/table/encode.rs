//! Encoding of tables as numbers, by the schema of a model.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result, listed, memory, quoted};
use crate::examples::Values;
use crate::table::csv::Table;
use crate::table::rows::Rows;
use crate::table::schema::{Coding, Scale, Schema, missing_target, not_a_number, number_name};

/// Whether a table must have the target column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithTarget {
    /// Every row must have a target, as in training and evaluation.
    Required,
    /// Targets are read if all rows have one, as in prediction.
    IfPresent,
}

impl Schema {
    /// Encodes the rows of a table. Columns are found by name; those that the schema does not have
    /// are ignored.
    ///
    /// # Errors
    /// When a column is missing, a numeric cell has text or a number too far from the training
    /// data, a category or class is unknown, a required target is missing, or the allocation fails.
    /// The message names file, line and column.
    pub fn encode(&self, table: &Table, target: WithTarget) -> Result<Rows> {
        let places: HashMap<&str, usize> =
            table.columns().iter().map(String::as_str).zip(0..).collect();
        let place = |name: &str| match places.get(name) {
            Some(&place) => Ok(place),
            None => table.find(name),
        };
        let mut readers = Vec::new();
        for column in &self.columns {
            let reader = Reader::new(place(&column.name)?, &column.coding, "category");
            readers.push((reader, column.inputs(), column.missing));
        }
        let n_inputs = self.inputs();
        let mut inputs = memory(n_inputs.saturating_mul(table.len()))
            .map_err(|error| Error::input(format!("{}: {error}; split the file", table.name())))?;
        inputs.resize(n_inputs * table.len(), 0.0);
        for (row, mut rest) in inputs.chunks_exact_mut(n_inputs.max(1)).enumerate() {
            for (reader, size, missing) in &readers {
                let (own, others) = rest.split_at_mut(*size);
                match reader.read(table, row)? {
                    Some(Code::Number(number)) => own[0] = number,
                    Some(Code::Index(index)) => own[index as usize] = 1.0,
                    None if *missing => own[size - 1] = 1.0,
                    None => {}
                }
                rest = others;
            }
        }
        let targets = match target {
            WithTarget::Required => self.targets(table, place(self.target())?)?,
            WithTarget::IfPresent => match table.column(self.target()) {
                Some(column) if (0..table.len()).all(|row| table.cell(row, column).is_some()) => {
                    self.targets(table, column)?
                }
                _ => Values::default(),
            },
        };
        let schema = Arc::new(self.clone());
        Ok(Rows::new(table.name().to_owned(), table.len(), inputs, targets, schema))
    }

    /// Returns the class of each row of a table; `None` if the target is a number.
    ///
    /// # Errors
    /// When the target column or a target is missing, or a class is unknown. The message names
    /// file, line and column.
    pub fn labels(&self, table: &Table) -> Result<Option<Vec<u32>>> {
        match self.targets(table, table.find(self.target())?)? {
            Values::Integers(labels) => Ok(Some(labels)),
            Values::Numbers(_) => Ok(None),
        }
    }

    /// Encodes the targets of all rows.
    fn targets(&self, table: &Table, column: usize) -> Result<Values> {
        let reader = Reader::new(column, &self.target.coding, "class");
        let (mut numbers, mut labels) = (Vec::new(), Vec::new());
        for row in 0..table.len() {
            match reader.read(table, row)? {
                Some(Code::Number(number)) => numbers.push(number),
                Some(Code::Index(index)) => labels.push(index),
                None => return Err(missing_target(table, row, column)),
            }
        }
        Ok(match self.target.coding {
            Coding::Number(_) => Values::Numbers(numbers),
            Coding::Categories(_) => Values::Integers(labels),
        })
    }
}

/// An encoded cell.
enum Code {
    /// A standardised number.
    Number(f32),
    /// Index of a category or class.
    Index(u32),
}

/// Encoder of the cells of one column.
struct Reader<'a> {
    column: usize,
    coding: Lookup<'a>,
    /// The word for a name in messages: category or class.
    noun: &'static str,
}

enum Lookup<'a> {
    Number(&'a Scale),
    Categories(&'a [String], HashMap<&'a str, u32>),
}

impl<'a> Reader<'a> {
    fn new(column: usize, coding: &'a Coding, noun: &'static str) -> Self {
        let coding = match coding {
            Coding::Number(scale) => Lookup::Number(scale),
            Coding::Categories(names) => {
                Lookup::Categories(names, names.iter().map(String::as_str).zip(0..).collect())
            }
        };
        Self { column, coding, noun }
    }

    /// Encodes a cell; `None` if it is missing.
    fn read(&self, table: &Table, row: usize) -> Result<Option<Code>> {
        let Some(cell) = table.cell(row, self.column) else { return Ok(None) };
        let number = || table.number(row, self.column);
        match &self.coding {
            Lookup::Number(scale) => {
                let advice = "correct it, or leave the cell empty";
                let number =
                    number().ok_or_else(|| not_a_number(table, row, self.column, advice))?;
                let value = scale.standardize(number).ok_or_else(|| {
                    let message =
                        format!("{} is too far from the training data; {advice}", quoted(cell));
                    table.refused(row, self.column, &message)
                })?;
                Ok(Some(Code::Number(value)))
            }
            Lookup::Categories(names, indices) => {
                let by_value = || indices.get(number_name(number()?)?.as_str());
                match indices.get(cell).or_else(by_value) {
                    Some(&index) => Ok(Some(Code::Index(index))),
                    None => {
                        let message = format!(
                            "{} is an unknown {}; correct it, or train with it; the known ones are {}",
                            quoted(cell),
                            self.noun,
                            listed(*names)
                        );
                        Err(table.refused(row, self.column, &message))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zor_random::Random;

    use super::*;
    use crate::table::TargetKind;
    use crate::table::schema::tests::table;

    const TRAINING: &str = "n,c,y\n1,red,10\n3,,30\n,blue,20\n2,red,40\n";

    fn fit(text: &str, kind: TargetKind) -> Schema {
        let table = table(text);
        let rows: Vec<usize> = (0..table.len()).collect();
        Schema::fit(&table, &rows, "y", kind, &[]).unwrap()
    }

    fn encode(schema: &Schema, text: &str) -> Rows {
        schema.encode(&table(text), WithTarget::IfPresent).unwrap()
    }

    fn refused(schema: &Schema, text: &str, expected: &str) {
        let error = schema.encode(&table(text), WithTarget::Required).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(expected) && !message.contains('\n'), "{message}");
    }

    #[test]
    fn numbers_categories_and_missing_cells_become_inputs() {
        let schema = fit(TRAINING, TargetKind::Number);
        let rows = schema.encode(&table(TRAINING), WithTarget::Required).unwrap();
        let far = 1.0 / (2.0f64 / 3.0).sqrt() as f32;
        // The number, 1 if it is missing, blue, red, 1 if the colour is missing.
        let expected = [
            [-far, 0.0, 0.0, 1.0, 0.0],
            [far, 0.0, 0.0, 0.0, 1.0],
            [0.0, 1.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0, 0.0],
        ];
        assert!(
            rows.inputs().iter().zip(expected.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-6)
        );
        let numbers = rows.numbers().unwrap().iter().map(|&number| schema.denormalize(number));
        assert!(numbers.zip([10.0f32, 30.0, 20.0, 40.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn classes_are_found_by_text_or_value() {
        let schema = fit("x,y\n1,2\n2,10\n", TargetKind::Auto);
        assert_eq!(encode(&schema, "x,y\n1,10.0\n2,02\n").labels(), Some(&[1, 0][..]));
        let schema = fit("x,y\n1,no\n2,yes\n", TargetKind::Auto);
        let rows = encode(&schema, "x,y\n1,yes\n2,no\n");
        assert_eq!((rows.labels(), rows.numbers()), (Some(&[1, 0][..]), None));
        assert_eq!(schema.labels(&table("x,y\n1,yes\n2,no\n")).unwrap(), Some(vec![1, 0]));
        assert_eq!(rows.class_names(), ["no", "yes"]);
    }

    #[test]
    fn the_order_of_columns_does_not_matter() {
        let schema = fit(TRAINING, TargetKind::Number);
        let rows = encode(&schema, "n,c,y\n1,red,10\n3,blue,20\n");
        let others = encode(&schema, "more;y;c;n\n?;10;red;1\nz;20;blue;3,0\n");
        assert_eq!(rows.digest(), others.digest());
    }

    #[test]
    fn cells_may_be_missing_that_never_were_in_training() {
        let schema = fit("n,c,y\n1,red,a\n3,blue,b\n", TargetKind::Auto);
        assert_eq!(encode(&schema, "n,c\n,\n3,red\n").inputs(), [0.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn targets_are_read_where_all_rows_have_one() {
        let schema = fit(TRAINING, TargetKind::Classes);
        for text in ["n,c\n1,red\n", "n,c,y\n1,red,10\n2,red,?\n"] {
            let rows = encode(&schema, text);
            assert_eq!((rows.has_targets(), rows.n_classes()), (false, 4));
        }
        refused(&schema, "n,c\n1,red\n", "t.csv: there is no column 'y'; ");
        let expected = "t.csv, line 3, column 'y': the target is missing; ";
        refused(&schema, "n,c,y\n1,red,10\n2,red,?\n", expected);
    }

    #[test]
    fn cells_that_the_model_cannot_read_are_refused_with_their_place() {
        let schema = fit(TRAINING, TargetKind::Classes);
        refused(&schema, "c,y\nred,1\n", "t.csv: there is no column 'n'; ");
        let expected = "t.csv, line 3, column 'n': 'abc' is not a number; ";
        refused(&schema, "n,c,y\n1,red,10\nabc,red,20\n", expected);
        let expected = "t.csv, line 2, column 'c': 're\\nd' is an unknown category; correct it, or \
                        train with it; the known ones are 'blue', 'red'";
        refused(&schema, "n,c,y\n1,\"re\nd\",10\n", expected);
        refused(
            &schema,
            "n,c,y\n1,red,50\n",
            "t.csv, line 2, column 'y': '50' is an unknown class; ",
        );
        let near = fit("x,y\n0,a\n1e-30,b\n", TargetKind::Auto);
        refused(&near, "x,y\n1e38,a\n", "t.csv, line 2, column 'x': '1e38' is too far from");
        let many: String = (0..30).map(|n| format!("k{n:02},{}\n", n % 2)).collect();
        let many = fit(&format!("x,y\n{many}"), TargetKind::Auto);
        let long = table(&format!("x\n{}\n", "z".repeat(1000)));
        let message = many.encode(&long, WithTarget::IfPresent).unwrap_err().to_string();
        assert!(message.ends_with("'k10', 'k11', and 18 more") && message.len() < 300, "{message}");
    }

    /// Pieces of tables: delimiters, quotes and line ends first, then cells.
    const PIECES: [&str; 24] = [
        ",", ";", "\t", "\n", "\r\n", "\"", "\"\"", "\0", "\u{feff}", " ", "", "NA", "a", "b",
        "\u{e9}", "1", "2", "02", "-1.5", "1,5", "1e38", "-1e38", "1e-320", "inf",
    ];
    const CELLS: usize = 9;

    fn piece(random: &mut Random, from: usize) -> &'static str {
        PIECES[from + random.below(PIECES.len() - from)]
    }

    /// Random pieces, or rows of random cells, with a few random bytes inserted.
    fn random_bytes(random: &mut Random) -> Vec<u8> {
        let mut text = String::new();
        if random.chance(0.5) {
            (0..random.below(60)).for_each(|_| text += piece(random, 0));
        } else {
            let numeric = PIECES.len() - 5 - random.below(6);
            text += "a;y\n";
            for _ in 0..random.below(12) {
                let from = if random.chance(0.1) { CELLS } else { numeric };
                text += &format!("{};{}\n", piece(random, from), piece(random, numeric));
            }
        }
        let mut bytes = text.into_bytes();
        while random.chance(0.1) {
            bytes.insert(random.below(bytes.len() + 1), random.below(256) as u8);
        }
        bytes
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = Random::seeded(1);
        let mut schemas: Vec<Schema> = Vec::new();
        let (mut parsed, mut encoded) = (0, 0);
        for _ in 0..2000 {
            let bytes = random_bytes(&mut random);
            let Ok(table) = Table::parse("t.csv", &bytes) else { continue };
            parsed += 1;
            let rows: Vec<usize> = (0..table.len()).filter(|_| random.chance(0.7)).collect();
            let target = &table.columns()[random.below(table.columns().len())];
            for kind in [TargetKind::Auto, TargetKind::Classes, TargetKind::Number] {
                schemas.extend(Schema::fit(&table, &rows, target, kind, &[]));
            }
            // Schemas of this table and of some earlier ones.
            for schema in schemas.iter().rev().take(6) {
                for target in [WithTarget::Required, WithTarget::IfPresent] {
                    let Ok(rows) = schema.encode(&table, target) else { continue };
                    encoded += 1;
                    assert_eq!(rows.inputs().len(), table.len() * schema.inputs());
                    assert!(rows.inputs().iter().all(|input| input.is_finite()));
                    assert!(rows.has_targets() || target == WithTarget::IfPresent);
                }
            }
        }
        let counts = [parsed, schemas.len(), encoded];
        assert!(counts.iter().all(|&count| count > 500), "{counts:?}");
    }
}
