//! Translators.

use std::ops::ControlFlow;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zor::core::burn::tensor::Device;
use zor::data::text::{Lexicons, Vocabulary};
use zor::task::Model;
use zor::tasks::translation::{lexicons, vocabulary};
use zor::translation::score::{BLEU_SIGNATURE, CHRF_SIGNATURE, score};
use zor::translation::{Glossary, Search, Translation, Translator as Inner};

use crate::error::{exception, of_file};
use crate::interrupt::compute_heard;
use crate::threads::compute;

/// A network that translates, with its vocabulary and its lexicons.
#[pyclass(frozen, module = "zor._zor")]
pub(crate) struct Translator(Box<Parts>);

struct Parts {
    model: Model,
    vocabulary: Vocabulary,
    lexicons: Option<Lexicons>,
}

/// Text and score of a translation.
type TranslationParts = (String, f64);

/// BLEU, chrF, the number of sentences, and the signatures of both scores.
type ScoreParts = (f64, f64, usize, &'static str, &'static str);

impl Translator {
    fn of(model: Model) -> PyResult<Self> {
        model.check_command("translate").map_err(exception)?;
        let vocabulary = vocabulary(&model).map_err(exception)?;
        let lexicons = lexicons(&model).map_err(exception)?;
        let translator = Self(Box::new(Parts { model, vocabulary, lexicons }));
        translator.0.inner()?;
        Ok(translator)
    }
}

impl Parts {
    fn inner(&self) -> PyResult<Inner<'_>> {
        let lexicons = self.lexicons.as_ref().map(|lexicons| &lexicons.all);
        Inner::new(&self.model.network, &self.vocabulary, lexicons).map_err(exception)
    }
}

#[pymethods]
impl Translator {
    /// Loads a translator from a model file or the folder of a run or task.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        compute(py, || {
            let model = Model::load(&path, &Device::flex());
            Self::of(model.map_err(|error| of_file(&path, error))?)
        })
    }

    /// Loads a translator from the bytes of a model file.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        compute(py, || Self::of(Model::from_bytes(bytes, &Device::flex()).map_err(exception)?))
    }

    /// Returns the bytes of a model file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let Model { network, notes, .. } = &self.0.model;
        let bytes = compute(py, || zor::io::checkpoint_bytes(network, notes).map_err(exception))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Returns the two languages.
    fn languages(&self) -> Vec<String> {
        self.0.vocabulary.languages().to_vec()
    }

    /// Returns the best translations of each line, text and score, the best one first.
    #[allow(clippy::too_many_arguments, reason = "Python names them")]
    fn translate(
        &self,
        py: Python<'_>,
        lines: Vec<String>,
        to: &str,
        beam: usize,
        n_best: usize,
        glossary: Vec<(String, String)>,
        one_way: bool,
    ) -> PyResult<Vec<Vec<TranslationParts>>> {
        compute_heard(py, |mut signals| {
            let glossary = Glossary::new(glossary).map_err(exception)?;
            let translator = self.0.inner()?.with_glossary(glossary);
            let settings = Search { beam, n_best, reranks: !one_way, ..Search::default() };
            let mut raised = None;
            let mut watch = || {
                raised = raised.take().or_else(|| signals.check(|_| Ok(())).err());
                match raised {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            };
            let found = translator.translate(&lines, to, settings, &mut watch);
            if let Some(error) = raised {
                return Err(error);
            }
            let parts = |line: Vec<Translation>| {
                line.into_iter().map(|found| (found.text, found.score)).collect()
            };
            Ok(found.map_err(exception)?.into_iter().map(parts).collect())
        })
    }
}

/// Scores translations, the hypotheses, against a reference for each.
#[pyfunction]
pub(crate) fn score_translations(
    py: Python<'_>,
    hypotheses: Vec<String>,
    references: Vec<String>,
) -> PyResult<ScoreParts> {
    let found = compute(py, || score(&hypotheses, &references).map_err(exception))?;
    Ok((found.bleu, found.chrf, found.sentences, BLEU_SIGNATURE, CHRF_SIGNATURE))
}
