//! Metrics of scores against labels.

/// Area under the ROC curve: the probability that an anomaly has a larger score than a normal row.
/// Equal scores count half. `None` unless there are both anomalies and normal rows.
pub fn auroc(scores: &[f32], is_anomaly: &[bool]) -> Option<f64> {
    let order = descending(scores);
    let (mut above, mut sum) = (0.0, 0.0);
    for (anomalies, normal) in ties(&order, scores, is_anomaly) {
        sum += normal * (above + 0.5 * anomalies);
        above += anomalies;
    }
    let normal = is_anomaly.len() as f64 - above;
    (above > 0.0 && normal > 0.0).then(|| sum / (above * normal))
}

/// Average precision: the mean over anomalies of the share of anomalies among the rows with at
/// least their score. `None` unless there are anomalies.
pub fn average_precision(scores: &[f32], is_anomaly: &[bool]) -> Option<f64> {
    let order = descending(scores);
    let (mut anomalies, mut rows, mut sum) = (0.0, 0.0, 0.0);
    for (more, normal) in ties(&order, scores, is_anomaly) {
        anomalies += more;
        rows += more + normal;
        sum += more * anomalies / rows;
    }
    (anomalies > 0.0).then(|| sum / anomalies)
}

/// Indices by decreasing score.
fn descending(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

/// Numbers of anomalies and of normal rows with each score, by decreasing score.
fn ties<'a>(
    order: &'a [usize],
    scores: &'a [f32],
    is_anomaly: &'a [bool],
) -> impl Iterator<Item = (f64, f64)> + 'a {
    order.chunk_by(|a, b| scores[*a] == scores[*b]).map(|group| {
        let anomalies = group.iter().filter(|&&row| is_anomaly[row]).count();
        (anomalies as f64, (group.len() - anomalies) as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of scikit-learn 1.9 (`roc_auc_score`, `average_precision_score`).
    #[test]
    fn metrics_agree_with_scikit_learn() {
        let labels = [false, false, true, true, false, true];
        let scores = [0.1, 0.4, 0.35, 0.8, 0.35, 0.9];
        let found = auroc(&scores, &labels).unwrap();
        assert!((found - 0.833_333_333_333_333_3).abs() < 1e-12, "{found}");
        let found = average_precision(&scores, &labels).unwrap();
        assert!((found - 0.866_666_666_666_666_7).abs() < 1e-12, "{found}");
        assert_eq!(auroc(&[0.5; 6], &labels), Some(0.5));
        assert_eq!(average_precision(&[0.5; 6], &labels), Some(0.5));
    }

    #[test]
    fn metrics_need_both_kinds_of_rows() {
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auroc(&[1.0], &[false]), None);
        assert_eq!(auroc(&[], &[]), None);
        assert_eq!(average_precision(&[1.0], &[false]), None);
    }
}
