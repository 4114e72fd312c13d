//! A table of figures: promised and measured values.

/// A row of the table.
struct Figure {
    name: String,
    promised: String,
    measured: String,
    kept: bool,
}

/// Figures in the order of their addition.
#[derive(Default)]
pub(crate) struct Table(Vec<Figure>);

impl Table {
    /// Adds a row; `kept` is whether the measured value keeps the promise.
    pub(crate) fn add(&mut self, name: &str, promised: String, measured: String, kept: bool) {
        self.0.push(Figure { name: name.to_owned(), promised, measured, kept });
    }

    /// Returns the rows as a Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let mut table = "| figure | promised | measured |\n|---|---|---|\n".to_owned();
        for figure in &self.0 {
            let mark = if figure.kept { "" } else { " SHORT" };
            let Figure { name, promised, measured, .. } = figure;
            table += &format!("| {name} | {promised} | {measured}{mark} |\n");
        }
        table
    }

    /// Prints the rows.
    pub(crate) fn print(&self) {
        println!("\n{:<56}{:>20}{:>28}", "figure", "promised", "measured");
        for figure in &self.0 {
            let mark = if figure.kept { "" } else { "   SHORT" };
            println!("{:<56}{:>20}{:>28}{mark}", figure.name, figure.promised, figure.measured);
        }
    }

    /// Names of the figures that miss their promise.
    pub(crate) fn short(&self) -> Vec<&str> {
        self.0.iter().filter(|figure| !figure.kept).map(|figure| figure.name.as_str()).collect()
    }
}
