//! Pages with figures: the text of a template, with values from the results files in its places.
//!
//! - `{{step/cases/784-64-784, batch 10/Zor, classic rule/ms @ .2}}` is a value of
//!   `docs/results/step.json`. A key `*` stands for all values of a list. The words after `@` are
//!   described at [`Format::read`].
//! - `{{table rules}}` is a table that a suite makes.
//! - `{{typed 5 %}}` is `5 %`: a setting or a cited figure, which no results file has.

use serde_json::Value;

use crate::bench::Spread;

/// What the templates refer to.
pub(super) struct Sources<'a> {
    /// Reads a results file.
    pub(super) results: &'a dyn Fn(&str) -> Result<Value, String>,
    /// Makes a table.
    pub(super) table: &'a dyn Fn(&str) -> Result<String, String>,
}

/// Replaces every place of a template by its value.
pub(super) fn fill(template: &str, sources: &Sources<'_>) -> Result<String, String> {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (place, after) =
            after.split_once("}}").ok_or_else(|| format!("'{{{{{}' has no end", line(after)))?;
        page += before;
        page += &value(place.trim(), sources).map_err(|why| format!("{{{{{place}}}}}: {why}"))?;
        rest = after;
    }
    Ok(page + rest)
}

/// Returns the text in the place of a reference.
fn value(place: &str, sources: &Sources<'_>) -> Result<String, String> {
    if let Some(text) = place.strip_prefix("typed ") {
        return Ok(text.to_owned());
    }
    if let Some(name) = place.strip_prefix("table ") {
        return Ok((sources.table)(name)?.trim_end().to_owned());
    }
    let (path, format) = place.split_once(" @ ").unwrap_or((place, ""));
    let format = Format::read(format)?;
    let (name, path) = path.split_once('/').ok_or("write FILE/KEY/KEY @ FORMAT")?;
    let mut found = Vec::new();
    let keys: Vec<&str> = path.split('/').collect();
    collect(&(sources.results)(name)?, &keys, &mut found)?;
    format.text(&found)
}

/// Collects the values at a path of keys.
fn collect(value: &Value, keys: &[&str], found: &mut Vec<Spread>) -> Result<(), String> {
    let Some((key, keys)) = keys.split_first() else {
        let one = match value {
            Value::Object(_) => Spread::read(value),
            _ => Spread::of(&[value.as_f64().ok_or_else(|| format!("{value} is no number"))?]),
        };
        found.push(one);
        return Ok(());
    };
    match (value, *key) {
        (Value::Array(all), "*") => {
            all.iter().try_for_each(|element| collect(element, keys, found))
        }
        (Value::Array(all), index) => {
            let index: usize = index.parse().map_err(|_| format!("'{index}' is no index"))?;
            let element = all.get(index).ok_or_else(|| format!("there is no element {index}"))?;
            collect(element, keys, found)
        }
        (Value::Object(all), key) => {
            let known = || all.keys().map(String::as_str).collect::<Vec<_>>().join("; ");
            let inner = all.get(key).ok_or_else(|| format!("no key '{key}' among {}", known()))?;
            collect(inner, keys, found)
        }
        _ => Err(format!("'{key}' is not in a list or an object")),
    }
}

/// What is shown of the values that are found.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Median,
    Mean,
    Lowest,
    Highest,
    Range,
    Count,
}

/// How a value is written.
struct Format {
    shown: Shown,
    decimals: usize,
    factor: f64,
    inverse: bool,
}

impl Format {
    /// Reads words:
    /// - `.2`: two decimals [default: none];
    /// - `%`: a share in percent, without the sign;
    /// - `*1000`, `/60`: times or by a number;
    /// - `inverse`: one divided by the value;
    /// - `mean`, `lowest`, `highest`: of several values [default: the median]; `range`: the lowest
    ///   and the highest in brackets; `count`: their number.
    fn read(words: &str) -> Result<Self, String> {
        let mut format = Self { shown: Shown::Median, decimals: 0, factor: 1.0, inverse: false };
        for word in words.split_whitespace() {
            let wrong = || format!("'{word}' is no format");
            let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
            match (word, word.split_at_checked(1)) {
                ("%", _) => format.factor = 100.0,
                ("mean", _) => format.shown = Shown::Mean,
                ("median", _) => format.shown = Shown::Median,
                ("lowest", _) => format.shown = Shown::Lowest,
                ("highest", _) => format.shown = Shown::Highest,
                ("range", _) => format.shown = Shown::Range,
                ("count", _) => format.shown = Shown::Count,
                ("inverse", _) => format.inverse = true,
                (_, Some((".", digits))) => {
                    format.decimals = digits.parse().map_err(|_| wrong())?;
                }
                (_, Some(("*", factor))) => format.factor = number(factor)?,
                (_, Some(("/", by))) => format.factor = 1.0 / number(by)?,
                _ => return Err(wrong()),
            }
        }
        Ok(format)
    }

    /// Writes values: one, which may be a spread, or several.
    fn text(&self, found: &[Spread]) -> Result<String, String> {
        let spread = match found {
            [] => return Err("there are no values".to_owned()),
            [one] => *one,
            several => Spread::of(&several.iter().map(|one| one.median).collect::<Vec<_>>()),
        };
        let spread = if self.inverse { spread.inverse() } else { spread }.times(self.factor);
        let value = match self.shown {
            Shown::Count => return Ok(found.len().to_string()),
            Shown::Range => {
                return Ok(format!(
                    "[{}, {}]",
                    self.number(spread.lowest)?,
                    self.number(spread.highest)?
                ));
            }
            Shown::Median => spread.median,
            Shown::Lowest => spread.lowest,
            Shown::Highest => spread.highest,
            Shown::Mean => {
                self.factor * found.iter().map(|one| one.median).sum::<f64>() / found.len() as f64
            }
        };
        self.number(value)
    }

    /// Writes a number, with commas between groups of three digits.
    fn number(&self, value: f64) -> Result<String, String> {
        if !value.is_finite() {
            return Err("the value is missing".to_owned());
        }
        let text = format!("{value:.*}", self.decimals);
        let (whole, decimals) = text.split_at(text.find('.').unwrap_or(text.len()));
        let digits = whole.trim_start_matches('-');
        let mut grouped = whole[..whole.len() - digits.len()].to_owned();
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        Ok(grouped + decimals)
    }
}

/// First line of a text.
fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let results = |name: &str| match name {
            "step" => Ok(json!({
                "ms": { "median": 0.2231, "lowest": 0.2, "highest": 1.0 },
                "steps": 12_345,
                "runs": [{ "top1": 0.5 }, { "top1": 0.9 }, { "top1": 0.8 }],
                "none": null,
            })),
            other => Err(format!("there is no {other}")),
        };
        let table = |name: &str| Ok(format!("| {name} |\n"));
        fill(template, &Sources { results: &results, table: &table })
    }

    #[test]
    fn places_are_filled() {
        let page = "A {{step/ms @ .2}} ms {{step/ms @ range .1}}, {{step/steps}} steps, {{step/runs/*/top1 @ % .1}} % \
                    of {{step/runs/*/top1 @ count}}, {{step/runs/1/top1 @ .1}}, {{step/runs/*/top1 @ mean % }}, \
                    {{step/ms @ inverse .1}}, {{step/ms @ *1000 lowest}}.\n{{table a}}\n{{typed 5 %}}\n";
        let made =
            "A 0.22 ms [0.2, 1.0], 12,345 steps, 80.0 % of 3, 0.9, 73, 4.5, 200.\n| a |\n5 %\n";
        assert_eq!(filled(page).as_deref(), Ok(made));
    }

    #[test]
    fn a_place_without_a_value_is_an_error() {
        for (place, why) in [
            ("{{step/ms @ .x}}", "'.x' is no format"),
            ("{{step/seconds}}", "no key 'seconds' among ms"),
            ("{{step/none}}", "null is no number"),
            ("{{step/runs/7/top1}}", "there is no element 7"),
            ("{{step/steps/more}}", "'more' is not in a list or an object"),
            ("{{other/ms}}", "there is no other"),
            ("{{step/ms", "has no end"),
        ] {
            let error = filled(place).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
