//! A small SVG writer for shapes, lines and text.
//!
//! Text is escaped and tags are balanced for every input. Elements with an infinite or NaN number
//! are left out.

use std::fmt::Write;

/// Decimal places of coordinates and lengths.
const OF_PLACES: usize = 1;
/// Decimal places of opacities.
const OF_SHARES: usize = 3;

/// An SVG picture on a white background. Later elements cover earlier ones.
#[derive(Clone, Debug)]
pub struct Svg {
    size: [f64; 2],
    label: Option<String>,
    elements: String,
}

/// Fill and outline of a shape, in CSS colours.
#[derive(Clone, Copy, Debug)]
pub struct Paint<'a> {
    fill: &'a str,
    opacity: Option<f64>,
    stroke: Option<(&'a str, f64)>,
}

/// Alignment of a text relative to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text starts at the position.
    Start,
    /// The text is centred at the position.
    Middle,
    /// The text ends at the position.
    End,
}

/// Style of a text.
#[derive(Clone, Copy, Debug)]
pub struct Lettering<'a> {
    anchor: Anchor,
    fill: Option<&'a str>,
    degrees: Option<f64>,
    is_bold: bool,
}

impl Svg {
    /// An empty picture. Coordinates start at the top left corner.
    pub fn new(width: f64, height: f64) -> Self {
        let mut svg = Self { size: [width, height], label: None, elements: String::new() };
        svg.rect([0.0, 0.0], [width, height], Paint::fill("#fff"));
        svg
    }

    /// Sets the description for screen readers.
    pub fn labelled(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Adds an XML comment.
    pub fn comment(&mut self, text: &str) {
        // Two hyphens would end the comment.
        let mut apart = String::new();
        for c in text.chars() {
            if c == '-' && apart.ends_with('-') {
                apart.push(' ');
            }
            apart.push(c);
        }
        let _ = writeln!(self.elements, "<!-- {} -->", escaped(&apart));
    }

    /// Adds a rectangle with its upper left corner, width and height.
    pub fn rect(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], paint: Paint<'_>) {
        let element = Element::new("rect").place("x", x).place("y", y);
        self.add(element.place("width", width).place("height", height).paint(paint));
    }

    /// Adds a circle.
    pub fn circle(&mut self, [x, y]: [f64; 2], radius: f64, paint: Paint<'_>) {
        let element = Element::new("circle").place("cx", x).place("cy", y);
        self.add(element.place("r", radius).paint(paint));
    }

    /// Adds a polyline.
    pub fn line(&mut self, points: &[[f64; 2]], paint: Paint<'_>) {
        let is_finite = points.iter().flatten().all(|value| value.is_finite());
        let points: Vec<String> = points
            .iter()
            .map(|[x, y]| format!("{},{}", short(*x, OF_PLACES), short(*y, OF_PLACES)))
            .collect();
        let mut element = Element::new("polyline").attribute("points", &points.join(" "));
        element.is_finite &= is_finite;
        self.add(element.paint(paint));
    }

    /// Adds a text whose baseline is at the position.
    pub fn text(&mut self, [x, y]: [f64; 2], text: &str, lettering: Lettering<'_>) {
        let mut element = Element::new("text").place("x", x).place("y", y);
        element = match lettering.anchor {
            Anchor::Start => element,
            Anchor::Middle => element.attribute("text-anchor", "middle"),
            Anchor::End => element.attribute("text-anchor", "end"),
        };
        if let Some(color) = lettering.fill {
            element = element.attribute("fill", color);
        }
        if lettering.is_bold {
            element = element.attribute("font-weight", "bold");
        }
        if let Some(degrees) = lettering.degrees {
            let [degrees, x, y] = [degrees, x, y].map(|number| short(number, OF_PLACES));
            element = element.attribute("transform", &format!("rotate({degrees} {x} {y})"));
        }
        element.content = Some(escaped(text));
        self.add(element);
    }

    /// Returns the SVG document.
    pub fn finish(self) -> String {
        let [width, height] = self.size.map(|side| short(side, OF_PLACES));
        let mut root = Element::new("svg")
            .attribute("xmlns", "http://www.w3.org/2000/svg")
            .attribute("viewBox", &format!("0 0 {width} {height}"))
            .attribute("font-family", "sans-serif")
            .attribute("font-size", "12");
        if let Some(label) = self.label {
            root = root.attribute("role", "img").attribute("aria-label", &label);
        }
        root.content = Some(format!("\n{}", self.elements));
        root.finish() + "\n"
    }

    fn add(&mut self, element: Element) {
        if element.is_finite {
            self.elements += &element.finish();
            self.elements.push('\n');
        }
    }
}

impl<'a> Paint<'a> {
    /// A fill without an outline.
    pub const fn fill(color: &'a str) -> Self {
        Self { fill: color, opacity: None, stroke: None }
    }

    /// An outline without a fill.
    pub const fn stroke(color: &'a str, width: f64) -> Self {
        Self::fill("none").outlined(color, width)
    }

    /// Adds an outline.
    pub const fn outlined(mut self, color: &'a str, width: f64) -> Self {
        self.stroke = Some((color, width));
        self
    }

    /// Sets the opacity of the fill, from 0 (transparent) to 1 (opaque).
    pub const fn opacity(mut self, opacity: f64) -> Self {
        self.opacity = Some(opacity);
        self
    }
}

impl<'a> Lettering<'a> {
    /// Black text with the given alignment.
    pub const fn new(anchor: Anchor) -> Self {
        Self { anchor, fill: None, degrees: None, is_bold: false }
    }

    /// Sets the colour, in CSS notation.
    pub const fn fill(mut self, color: &'a str) -> Self {
        self.fill = Some(color);
        self
    }

    /// Makes the text bold.
    pub const fn bold(mut self) -> Self {
        self.is_bold = true;
        self
    }

    /// Rotates the text clockwise around its position.
    pub const fn turned(mut self, degrees: f64) -> Self {
        self.degrees = Some(degrees);
        self
    }
}

/// An XML element: name, attributes and content.
struct Element {
    name: &'static str,
    attributes: String,
    content: Option<String>,
    is_finite: bool,
}

impl Element {
    fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), content: None, is_finite: true }
    }

    fn attribute(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.attributes, " {name}='{}'", escaped(value));
        self
    }

    fn place(self, name: &str, value: f64) -> Self {
        self.number(name, value, OF_PLACES)
    }

    fn number(mut self, name: &str, value: f64, decimals: usize) -> Self {
        self.is_finite &= value.is_finite();
        self.attribute(name, &short(value, decimals))
    }

    fn paint(mut self, Paint { fill, opacity, stroke }: Paint<'_>) -> Self {
        self = self.attribute("fill", fill);
        if let Some(opacity) = opacity {
            self = self.number("fill-opacity", opacity, OF_SHARES);
        }
        if let Some((color, width)) = stroke {
            self = self.attribute("stroke", color).place("stroke-width", width);
        }
        self
    }

    fn finish(self) -> String {
        let Self { name, attributes, content, .. } = self;
        match content {
            Some(content) => format!("<{name}{attributes}>{content}</{name}>"),
            None => format!("<{name}{attributes}/>"),
        }
    }
}

/// Formats a number without trailing zeros.
fn short(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Escapes text for XML. Characters that are not allowed in XML become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\'' => escaped += "&apos;",
            '"' => escaped += "&quot;",
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fails if a tag is not closed, a value is not quoted, or a character is not allowed.
    pub(crate) fn assert_well_formed(document: &str) {
        let is_allowed = |c: char| c == '\n' || !c.is_control();
        assert!(document.chars().all(is_allowed), "{document:?}");
        let mut open: Vec<&str> = Vec::new();
        let (mut rest, mut roots) = (document, 0);
        while let Some((before, after)) = rest.split_once('<') {
            assert!(!before.contains('>'), "{before:?} in {document}");
            assert!(!open.is_empty() || before.trim().is_empty(), "{before:?} in {document}");
            if let Some(comment) = after.strip_prefix("!--") {
                let (inside, after) = comment.split_once("-->").expect("the end of a comment");
                assert!(!inside.contains("--") && !inside.ends_with('-'), "{inside:?}");
                rest = after;
                continue;
            }
            let (tag, after) = after.split_once('>').expect("the end of a tag");
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{document}");
                continue;
            }
            let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            let pieces: Vec<&str> = attributes.split('\'').collect();
            assert_eq!(pieces.len() % 2, 1, "{tag}");
            for name in pieces.iter().step_by(2).take(pieces.len() / 2) {
                let name = name.trim().strip_suffix('=').expect("an equals sign");
                assert!(name.chars().all(|c| c.is_ascii_alphabetic() || c == '-'), "{tag}");
            }
            roots += usize::from(open.is_empty());
            if !is_empty {
                open.push(name);
            }
        }
        assert!(open.is_empty() && roots == 1 && rest.trim().is_empty(), "{document}");
    }

    #[test]
    fn every_document_is_well_formed_whatever_is_drawn() {
        let texts =
            ["", "plain", "<&>'\"", "a--b---c-", "-", "\u{1b}[2J\n\t\u{85}\u{ffff}", "é 字"];
        for text in texts {
            let mut svg = Svg::new(64.0, 32.5).labelled(text);
            svg.comment(text);
            for place in [[1.0, 2.0], [-0.01, 1e300], [f64::NAN, 0.0], [0.0, f64::INFINITY]] {
                svg.rect(place, [4.0, 5.0], Paint::fill(text).opacity(0.5));
                svg.circle(place, 3.0, Paint::fill("red").outlined(text, 1.5));
                svg.line(&[[0.0, 0.0], place], Paint::stroke(text, 1.0));
                svg.line(&[], Paint::stroke("red", 1.0));
                for anchor in [Anchor::Start, Anchor::Middle, Anchor::End] {
                    svg.text(place, text, Lettering::new(anchor).fill(text).bold().turned(-45.0));
                }
            }
            let document = svg.finish();
            assert_well_formed(&document);
            assert!(!document.contains("NaN") && !document.contains("inf"), "{document}");
        }
    }

    #[test]
    fn text_is_escaped_and_numbers_are_short() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text([1.0, 2.25], "<a> & 'b'\u{7}", Lettering::new(Anchor::End).turned(-90.0));
        svg.rect([-0.04, 100.0], [1.96, 0.5], Paint::fill("red").opacity(0.12345));
        svg.line(&[[0.0, 1.0], [2.0, 3.5]], Paint::stroke("blue", 2.0));
        svg.circle([f64::NAN, 1.0], 5.0, Paint::fill("red"));
        let document = svg.finish();
        for element in [
            "<text x='1' y='2.2' text-anchor='end' transform='rotate(-90 1 2.2)'>&lt;a&gt; &amp; &apos;b&apos;\u{fffd}</text>",
            "<rect x='0' y='100' width='2' height='0.5' fill='red' fill-opacity='0.123'/>",
            "<polyline points='0,1 2,3.5' fill='none' stroke='blue' stroke-width='2'/>",
        ] {
            assert!(document.contains(element), "{element} is not in {document}");
        }
        assert!(!document.contains("circle"), "{document}");
    }
}
