//! Times of the same rows on several devices: a table with a column per device.

use serde_json::{Map, Value, json};
use zor::prelude::*;

use super::spread::Spread;

/// Named devices: those of this build and machine, and the reason why each other one is missing.
#[derive(Default)]
pub(super) struct Devices {
    columns: Vec<Column>,
    missing: Vec<(String, String)>,
}

/// A device and its times.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) device: Device,
    cells: Vec<Cell>,
}

/// Time of a row of a case, in milliseconds.
struct Cell {
    case: String,
    row: &'static str,
    time: Spread,
}

impl Devices {
    /// Finds devices by name, each once.
    pub(super) fn find(names: &[&str]) -> Self {
        let mut devices = Self::default();
        for name in names {
            match zor::named_device(name) {
                Ok((name, _)) if devices.columns.iter().any(|column| column.name == name) => {}
                Ok((name, device)) => {
                    devices.columns.push(Column { name, device, cells: Vec::new() });
                }
                Err(reason) => devices.missing.push(((*name).to_owned(), reason.to_string())),
            }
        }
        devices
    }

    /// # Errors
    /// When none of the devices is available, with the reason for each.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.columns.is_empty() {
            return Ok(());
        }
        let reasons = self.missing.iter().map(|(name, reason)| format!("{name}: {reason}"));
        Err(format!("no device to measure on: {}", reasons.collect::<Vec<_>>().join("; ")))
    }

    /// Available devices.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Adds the times of a case: the rows of each available device, in their order.
    pub(super) fn add(&mut self, case: &str, rows: Vec<Vec<(&'static str, Spread)>>) {
        for (column, rows) in self.columns.iter_mut().zip(rows) {
            let cell = |(row, time)| Cell { case: case.to_owned(), row, time };
            column.cells.extend(rows.into_iter().map(cell));
        }
    }

    /// Prints the table, and below it the reason for each missing device.
    pub(super) fn print(&self, title: &str) {
        let heads: String =
            self.columns.iter().map(|column| format!("{:>30}", column.name)).collect();
        println!("\n{title:<56}{heads}");
        let n_rows = self.columns.first().map_or(0, |column| column.cells.len());
        for index in 0..n_rows {
            let cells = self.columns.iter().filter_map(|column| column.cells.get(index));
            let times: String =
                cells.clone().map(|cell| format!("{:>30}", cell.time.with_unit(""))).collect();
            let name = cells.clone().next().map(|cell| format!("{}: {}", cell.case, cell.row));
            println!("{:<56}{times}", name.unwrap_or_default());
        }
        self.missing.iter().for_each(|(name, reason)| println!("{name} is missing: {reason}"));
    }

    /// Returns by device the times by case and row, or the reason why it is missing.
    pub(super) fn json(&self) -> Value {
        let there = self.columns.iter().map(|column| {
            let mut cases = json!({});
            for Cell { case, row, time } in &column.cells {
                cases[case][row] = json!({ "ms": time.json() });
            }
            (column.name.clone(), cases)
        });
        let missing = self.missing.iter();
        let missing = missing.map(|(name, reason)| (name.clone(), json!({ "missing": reason })));
        there.chain(missing).collect::<Map<String, Value>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_a_column_or_a_reason() {
        let mut devices = Devices::find(&["flex", "no such", "flex"]);
        assert_eq!(devices.columns().len(), 1);
        devices.add("a case", vec![vec![("a row", Spread::of(&[1.0, 2.0, 4.0]))]]);
        devices.print("ms");
        let raw = devices.json();
        assert_eq!(raw["flex"]["a case"]["a row"]["ms"]["median"], 2.0);
        assert!(devices.check().is_ok());
        assert!(Devices::find(&["no such"]).check().is_err_and(|e| e.contains("no such")));
        assert!(raw["no such"]["missing"].as_str().is_some_and(|told| told.contains("no such")));
    }
}
