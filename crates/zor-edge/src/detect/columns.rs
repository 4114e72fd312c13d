//! Centers and scales of columns, as on the host, without sorting in place.

use super::passes::CLIP;

/// Share of the numbers at each end of a column that may be outliers.
const OUTLIERS: f32 = 0.01;

/// The standardised values of a row.
pub(super) fn standardised<'r>(
    rows: &'r [f32],
    index: usize,
    centers: &'r [f32],
    scales: &'r [f32],
) -> impl Iterator<Item = f32> + 'r {
    let row = rows.iter().skip(index * centers.len());
    row.zip(centers.iter().zip(scales))
        .map(|(value, (center, scale))| ((value - center) / scale).clamp(-CLIP, CLIP))
}

/// Writes numbers in increasing order. Returns their number.
pub(super) fn sort(numbers: impl Iterator<Item = f32> + Clone, to: &mut [f32]) -> usize {
    for (at, number) in numbers.clone().enumerate() {
        let is_before = |(other_at, other): &(usize, f32)| {
            *other < number || *other == number && *other_at < at
        };
        let rank = numbers.clone().enumerate().filter(is_before).count();
        if let Some(place) = to.get_mut(rank) {
            *place = number;
        }
    }
    numbers.count()
}

/// Median and winsorised standard deviation of sorted numbers, as on the host; 0 and 1 without
/// numbers.
pub(super) fn robust_scale(sorted: &[f32]) -> (f32, f32) {
    let n = sorted.len();
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    let median = 0.5 * at(n.saturating_sub(1) / 2) + 0.5 * at(n / 2);
    let cut = ((OUTLIERS * n as f32) as usize).max(1).min(n.saturating_sub(1) / 2);
    let deviation = |cut: usize| {
        let (low, high) = (at(cut), at(n.saturating_sub(1 + cut)));
        let values = || sorted.iter().map(|x| x.max(low).min(high) - median);
        let mean = values().sum::<f32>() / n.max(1) as f32;
        let squares = values().map(|x| (x - mean) * (x - mean));
        libm::sqrtf(squares.sum::<f32>() / n.max(1) as f32)
    };
    let is_scale = |scale: &f32| scale.is_finite() && *scale > 1e-6 * median.abs();
    let scale = [deviation(cut), deviation(0)].into_iter().find(is_scale).unwrap_or(1.0);
    (if median.is_finite() { median } else { 0.0 }, scale)
}
