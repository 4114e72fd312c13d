//! A table of figures: what is promised beside what is measured.

/// One row of the table.
struct Figure {
    name: String,
    promised: String,
    measured: String,
    kept: bool,
}

/// Figures in the order in which they were added.
#[derive(Default)]
pub(crate) struct Table(Vec<Figure>);

impl Table {
    /// Adds a row.
    pub(crate) fn add(&mut self, name: &str, promised: String, measured: String, kept: bool) {
        self.0.push(Figure { name: name.to_owned(), promised, measured, kept });
    }

    /// The rows as a table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut table = "| figure | promised | measured |\n|---|---|---|\n".to_owned();
        for figure in &self.0 {
            let mark = if figure.kept { "" } else { " SHORT" };
            let Figure { name, promised, measured, .. } = figure;
            table += &format!("| {name} | {promised} | {measured}{mark} |\n");
        }
        table
    }

    /// Prints all rows.
    pub(crate) fn print(&self) {
        println!("\n{:<56}{:>20}{:>28}", "figure", "promised", "measured");
        for figure in &self.0 {
            let mark = if figure.kept { "" } else { "   SHORT" };
            println!("{:<56}{:>20}{:>28}{mark}", figure.name, figure.promised, figure.measured);
        }
    }

    /// The names of the figures that fall short of what is promised.
    pub(crate) fn short(&self) -> Vec<&str> {
        self.0.iter().filter(|figure| !figure.kept).map(|figure| figure.name.as_str()).collect()
    }
}
