//! Encoded rows, and examples of rows with hidden cells.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zor_data::table::Table;
use zor_data::{Batch, Draw, Examples};

use super::scheme::{Scheme, labels};
use super::scoring::Scoring;
use crate::error::{Error, Result};
use crate::settings::{DetectionSettings, Settings};
use crate::training::checkpoint::hexadecimal;

/// Encoded rows of a table, or windows of a series. NaN is a missing value.
#[derive(Clone, Debug)]
pub struct Rows {
    name: String,
    /// Values `[len, width]`.
    values: Arc<[f32]>,
    /// What the values are.
    scheme: Arc<Scheme>,
    /// Values of each cell in a row.
    cells: Arc<[Range<usize>]>,
    /// Index of each row in the file; for a window, of its last row.
    numbers: Vec<usize>,
    /// Place of each row in `values`.
    places: Vec<usize>,
    /// Whether each row is an anomaly, if that is known.
    labels: Option<Vec<bool>>,
    /// Cells that are hidden, and noise that is added, when rows are drawn for training.
    corruption: Corruption,
    /// Whether scores are calibrated by parts of these rows, because none are held out.
    pub(crate) by_folds: bool,
    /// Scoring of the model that is evaluated on these rows, if it has one.
    pub(crate) scoring: Option<Arc<Scoring>>,
}

/// How rows are changed for training.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Corruption {
    /// Mean share of hidden cells. The share of a row is uniform between 0 and twice this.
    mask: f32,
    /// Standard deviation of the noise on standardised numbers.
    noise: f32,
}

impl Rows {
    /// Reads the rows that a trained detector scores, as [`Rows::read`] does.
    ///
    /// # Errors
    /// Those of [`Rows::read`].
    pub(super) fn scored(scoring: Scoring, table: &Table, label: Option<&str>) -> Result<Self> {
        let rows = Self::read(&Arc::new(scoring.scheme.clone()), table, label)?;
        Ok(Self { scoring: Some(Arc::new(scoring)), ..rows })
    }

    /// Reads all windows of a table, with labels if a column has them.
    ///
    /// # Errors
    /// When a column is missing, or a cell does not match the kind of its column.
    pub fn read(scheme: &Arc<Scheme>, table: &Table, label: Option<&str>) -> Result<Self> {
        let labels = label.map(|name| labels(table, name)).transpose()?;
        let mut reader = scheme.reader(table.name(), table.columns())?;
        let (mut values, mut numbers) = (Vec::new(), Vec::new());
        for row in 0..table.len() {
            if let Some(window) = reader.read(&table.record(row))? {
                values.extend_from_slice(window);
                numbers.push(row);
            }
        }
        if numbers.is_empty() {
            return Err(Error::input(format!(
                "{}: its {} rows have no window of {} rows without a gap; give more rows, or a \
                 smaller window",
                table.name(),
                table.len(),
                scheme.windowing.window
            )));
        }
        let labels = labels.map(|labels| numbers.iter().map(|&row| labels[row]).collect());
        Ok(Self::new(table.name(), values, scheme.clone(), numbers, labels))
    }

    /// Rows from encoded values `[len, width]`.
    pub(crate) fn of_values(scheme: &Arc<Scheme>, values: Vec<f32>) -> Self {
        let len = values.len() / scheme.width().max(1);
        Self::new("rows", values, scheme.clone(), (0..len).collect(), None)
    }

    /// Returns the rows with hidden cells and noise, as the settings say.
    pub(crate) fn corrupted(mut self, settings: &Settings) -> Self {
        let DetectionSettings { mask, noise, .. } = settings.detection;
        self.corruption = Corruption { mask, noise };
        self
    }

    /// Rows from values `[len, width]` of a scheme. `numbers` are their indices in the file.
    fn new(
        name: &str,
        values: Vec<f32>,
        scheme: Arc<Scheme>,
        numbers: Vec<usize>,
        labels: Option<Vec<bool>>,
    ) -> Self {
        let places = (0..numbers.len()).collect();
        Self {
            name: name.to_owned(),
            values: values.into(),
            cells: scheme.cells(),
            scheme,
            numbers,
            places,
            labels,
            corruption: Corruption { mask: 0.0, noise: 0.0 },
            by_folds: false,
            scoring: None,
        }
    }

    /// Number of values per row.
    pub fn width(&self) -> usize {
        self.cells.last().map_or(0, |cell| cell.end)
    }

    /// Values of a row.
    pub fn row(&self, index: usize) -> &[f32] {
        let width = self.width();
        &self.values[self.places[index] * width..][..width]
    }

    /// Values of all rows.
    pub(crate) fn all(&self) -> Vec<&[f32]> {
        (0..self.places.len()).map(|row| self.row(row)).collect()
    }

    /// What the values are.
    pub fn scheme(&self) -> &Arc<Scheme> {
        &self.scheme
    }

    /// Index of a row in the file.
    pub fn number(&self, index: usize) -> usize {
        self.numbers[index]
    }

    /// Whether each row is an anomaly; `None` if that is not known.
    pub fn anomalies(&self) -> Option<&[bool]> {
        self.labels.as_deref()
    }

    /// Ranges of the values of each cell in a row.
    pub fn cells(&self) -> &[Range<usize>] {
        &self.cells
    }

    /// Returns the rows with these indices, in the order of the indices.
    pub fn select(&self, indices: &[usize]) -> Self {
        let pick = |of: &[usize]| indices.iter().map(|&index| of[index]).collect();
        Self {
            numbers: pick(&self.numbers),
            places: pick(&self.places),
            labels: self.labels.as_ref().map(|all| indices.iter().map(|&i| all[i]).collect()),
            ..self.clone()
        }
    }

    /// Returns the rows that are not labelled as anomalies.
    pub fn normal(&self) -> Self {
        let Some(labels) = &self.labels else { return self.clone() };
        let normal: Vec<usize> = (0..labels.len()).filter(|&row| !labels[row]).collect();
        self.select(&normal)
    }

    /// Divides the rows into `folds` parts. Returns the rows of all other parts, and those of part
    /// `fold`. Windows of a series that overlap those of the part are in neither.
    pub(crate) fn fold(&self, fold: usize, folds: usize) -> (Self, Self) {
        let n = self.places.len();
        let overlap = self.scheme.windowing.window.div_ceil(self.scheme.windowing.stride) - 1;
        let is_series = self.scheme.windowing.window > 1;
        // Neighbours in a series resemble each other, so its parts are contiguous.
        let (start, end) = (fold * n / folds, (fold + 1) * n / folds);
        let is_own = |row: usize| match is_series {
            true => (start..end).contains(&row),
            false => row % folds == fold,
        };
        let is_near = |row: usize| is_series && row + overlap >= start && row < end + overlap;
        let own: Vec<usize> = (0..n).filter(|&row| is_own(row)).collect();
        let others: Vec<usize> = (0..n).filter(|&row| !is_own(row) && !is_near(row)).collect();
        (self.select(&others), self.select(&own))
    }
}

impl Examples for Rows {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    /// Values, and for each whether it is shown.
    fn input_shape(&self) -> Vec<usize> {
        vec![2 * self.width()]
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        let width = self.width();
        batch.rows = draw.indices.len();
        batch.weights.clear();
        let targets = batch.targets.resize_numbers(width * draw.indices.len());
        let inputs = batch.inputs.resize_numbers(2 * width * draw.indices.len());
        let Corruption { mask, noise } = self.corruption;
        for (row, &index) in draw.indices.iter().enumerate() {
            let values = self.row(index);
            targets[row * width..][..width].copy_from_slice(values);
            let (shown, is_shown) = inputs[2 * row * width..][..2 * width].split_at_mut(width);
            let mut random = draw.random(row);
            let share = if mask > 0.0 { random.between(0.0, 2.0 * mask) } else { 0.0 };
            for cell in &*self.cells {
                let is_hidden = values[cell.start].is_nan() || random.chance(share);
                for place in cell.clone() {
                    is_shown[place] = f32::from(u8::from(!is_hidden));
                    shown[place] = match is_hidden {
                        true => 0.0,
                        false if noise > 0.0 => values[place] + noise * random.normal(),
                        false => values[place],
                    };
                }
            }
        }
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update((self.len() as u64).to_le_bytes());
        hasher.update((self.width() as u64).to_le_bytes());
        for index in 0..self.len() {
            self.row(index).iter().for_each(|value| hasher.update(value.to_bits().to_le_bytes()));
        }
        hexadecimal(&hasher.finalize())
    }

    fn subset(&self, indices: &[usize]) -> zor_data::Result<Arc<dyn Examples>> {
        Ok(Arc::new(self.select(indices)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a table with a number and a category, some cells of which are missing; windows of
    /// `window` rows.
    fn rows(len: usize, window: usize) -> Rows {
        let line = |row: usize| match row % 5 {
            4 => format!("{row},\n"),
            other => format!("{row},{}\n", ["a", "b"][other % 2]),
        };
        let text: String = (0..len).map(line).collect();
        let table = Table::parse("t.csv", format!("n,c\n{text}").as_bytes()).unwrap();
        let settings = Settings { window, ..Settings::default() };
        let all: Vec<usize> = (0..len).collect();
        let (scheme, _) = Scheme::fit(&table, &all, &settings).unwrap();
        Rows::read(&Arc::new(scheme), &table, None).unwrap()
    }

    fn batch(rows: &Rows, first: u64) -> (Vec<f32>, Vec<f32>) {
        let indices: Vec<usize> = (0..rows.len()).collect();
        let mut batch = Batch::default();
        rows.fill(&Draw { indices: &indices, first, seed: 1 }, &mut batch);
        (batch.inputs.numbers().to_vec(), batch.targets.numbers().to_vec())
    }

    #[test]
    fn inputs_are_values_and_whether_they_are_shown() {
        let rows = rows(10, 1);
        let (inputs, targets) = batch(&rows, 0);
        assert_eq!((rows.width(), rows.input_shape()), (3, vec![6]));
        for (row, input) in inputs.chunks_exact(6).enumerate() {
            let is_missing = row % 5 == 4;
            assert_eq!(input[0], rows.row(row)[0]);
            assert_eq!(input[3..], if is_missing { [1.0, 0.0, 0.0] } else { [1.0; 3] });
            assert_eq!(targets[3 * row + 1].is_nan(), is_missing);
            assert!(input.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn cells_are_hidden_whole_and_depend_on_the_position_alone() {
        let rows = rows(1000, 1).corrupted(&Settings::default());
        let (inputs, targets) = batch(&rows, 0);
        assert!(batch(&rows, 0).0 == inputs && batch(&rows, 1000).0 != inputs);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert!(bits(&targets) == bits(&batch(&rows, 1000).1));
        let mut hidden = 0;
        for input in inputs.chunks_exact(6) {
            assert_eq!(input[4], input[5]);
            assert!((0..3).all(|place| input[3 + place] == 1.0 || input[place] == 0.0));
            hidden += usize::from(input[3] == 0.0);
        }
        assert!((250..350).contains(&hidden), "{hidden}");
    }

    #[test]
    fn parts_have_every_row_once_and_windows_of_a_part_overlap_no_other() {
        for (window, n_left_out) in [(1, 0), (4, 6)] {
            let rows = rows(103, window);
            let mut seen = Vec::new();
            for fold in 0..8 {
                let (others, own) = rows.fold(fold, 8);
                let [mine, theirs] = [&own, &others]
                    .map(|part| (0..part.len()).map(|row| part.number(row)).collect::<Vec<_>>());
                let is_apart = |a: &usize, b: &usize| a.abs_diff(*b) >= window;
                assert!(mine.iter().all(|a| theirs.iter().all(|b| is_apart(a, b))));
                let n_missing = rows.len() - own.len() - others.len();
                assert_eq!(n_missing, if fold % 7 == 0 { n_left_out / 2 } else { n_left_out });
                seen.extend(mine);
            }
            seen.sort_unstable();
            assert_eq!(seen, (window - 1..103).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_digest_depends_on_values_and_their_number() {
        let rows = rows(20, 1);
        assert_eq!(rows.digest(), rows.clone().digest());
        assert_ne!(rows.digest(), rows.select(&[1, 0]).digest());
        assert_ne!(rows.select(&[0, 1]).digest(), rows.select(&[1, 0]).digest());
    }
}
