//! Muon: momentum whose direction is orthogonalised before it is applied (Jordan et al. 2024,
//! "Muon: An optimizer for hidden layers in neural networks").
//!
//! Orthogonal means that all singular values are near one: `U S V^T` becomes `U V^T`. It is
//! computed by an odd polynomial applied a few times, `X <- a X + b (X X^T) X + c (X X^T)^2 X`.
//! Every iterate is a polynomial of the Gram matrix `A = X X^T` of the smaller side times the first
//! `X`, so the iteration runs on small square matrices, and the large matrix takes part in two
//! products: the first Gram matrix and the result.
//!
//! Without momentum the matrix is the correlation `P^T S` of one batch, whose rank is at most the
//! batch size. With `A = P P^T` and `B = S S^T` the iteration then runs on `B A`, a square matrix
//! with the batch size as its side: `X q(X^T X) = P^T q(B A) S`.

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Tensor;
use zor_core::ops::{self, Rows, Side, Transposed};
use zor_core::{Error, Optimizer, OptimizerState, Parameter, Result, Workspace};

use crate::{AdamW, Schedule, accumulate};

/// Muon for matrices; vectors (one row or one column) and the rows of embeddings take AdamW steps
/// at a tenth of the rate.
///
/// State: the momentum; for vectors, moments as in AdamW. Neither SGD nor AdamW continues it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Muon {
    /// Learning rate. A step changes a matrix by about this much in every direction that it acts
    /// on.
    pub schedule: Schedule,
    /// Share of the previous direction that is kept; zero for none.
    pub momentum: f32,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// Decoupled weight decay: each step first multiplies a weight by
    /// `1 - learning_rate * weight_decay`.
    pub weight_decay: f32,
    /// Number of applications of the polynomial, 1 to 20.
    pub iterations: u32,
}

/// Owner of the state.
const OWNER: &str = "muon";

/// Coefficients of the polynomial (Jordan et al.): they increase small singular values fastest and
/// leave all within about [0.7, 1.2].
const POLYNOMIAL: (f32, f32, f32) = (3.4445, -4.7750, 2.0315);

impl Muon {
    /// Muon with this learning rate or schedule, Nesterov momentum 0.9, five iterations and no
    /// weight decay.
    pub fn new(schedule: impl Into<Schedule>) -> Self {
        Self {
            schedule: schedule.into(),
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0,
            iterations: 5,
        }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Sets the momentum.
    #[must_use]
    pub fn with_momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }
}

impl Optimizer for Muon {
    fn name(&self) -> &str {
        "muon"
    }

    fn check(&self) -> Result<()> {
        self.schedule.check()?;
        crate::check_momentum(self.momentum)?;
        if !(1..=20).contains(&self.iterations) {
            return Err(Error::setting(format!(
                "iterations is {}; it must be from 1 to 20",
                self.iterations
            )));
        }
        crate::check_weight_decay(self.weight_decay)
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        if let Some(vectors) = self.for_vectors(parameter) {
            return vectors.step_as(OWNER, parameter, correlation, workspace);
        }
        self.move_along(parameter, workspace, |state, workspace| {
            let direction = accumulate(state, correlation, self.momentum, self.nesterov);
            orthogonalize(direction, self.iterations, workspace)
        });
    }

    fn step_in_factors(
        &self,
        parameter: &mut Parameter,
        presynaptic: &Tensor<2>,
        signal: &Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let shape = parameter.shape();
        let multiply = |signal: &Tensor<2>, workspace: &mut Workspace| {
            let (left, buffer) = (presynaptic.clone(), workspace.take(shape));
            ops::matmul(left, signal.clone(), buffer, Transposed::Left)
        };
        if parameter.has_independent_rows() || !self.prefers_factors(shape, signal.dims()[0]) {
            let correlation = multiply(signal, workspace);
            return self.step(parameter, correlation, workspace);
        }
        self.move_along(parameter, workspace, |state, workspace| {
            state.tensors.clear();
            let signal = orthogonal_signal(presynaptic, signal, self.iterations, workspace);
            let direction = multiply(&signal, workspace);
            workspace.give(signal);
            direction
        });
    }

    /// A step of AdamW for independent rows, which leaves the other rows alone; the step of a
    /// matrix moves all rows.
    fn step_rows(
        &self,
        parameter: &mut Parameter,
        rows: Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        if let Some(vectors) = self.for_vectors(parameter) {
            return vectors.step_rows_as(OWNER, parameter, &rows, correlation, workspace);
        }
        let whole = parameter.correlation_of_rows(rows, correlation, workspace);
        self.step(parameter, whole, workspace);
    }
}

impl Muon {
    /// AdamW for a parameter that is no matrix: vectors, or independent rows.
    fn for_vectors(&self, parameter: &Parameter) -> Option<AdamW> {
        let [rows, columns] = parameter.shape();
        let is_matrix = rows.min(columns) > 1 && !parameter.has_independent_rows();
        let schedule = Schedule { peak: self.schedule.peak * 0.1, ..self.schedule };
        (!is_matrix).then(|| AdamW::new(schedule).with_weight_decay(self.weight_decay))
    }

    /// True if the factors of the correlation suffice and the batch is small compared with both
    /// sides of the matrix.
    fn prefers_factors(&self, [rows, columns]: [usize; 2], batch: usize) -> bool {
        self.momentum == 0.0 && 2 * batch <= rows.min(columns)
    }

    /// One step along an orthogonal direction.
    fn move_along(
        &self,
        parameter: &mut Parameter,
        workspace: &mut Workspace,
        direction: impl FnOnce(&mut OptimizerState, &mut Workspace) -> Tensor<2>,
    ) {
        let ([rows, columns], limit) = (parameter.shape(), parameter.limit());
        parameter.update_as(OWNER, self.schedule.identity(), |weight, state, step| {
            let rate = self.schedule.rate(step.of_schedule);
            let decay = 1.0 - rate * self.weight_decay;
            let direction = direction(state, workspace);
            // With this factor, wide and tall matrices change their outputs by the same amount
            // (Jordan et al.).
            let rate = rate * (rows as f32 / columns as f32).max(1.0).sqrt();
            let weight = ops::scaled_sum(weight, direction.clone(), decay, rate, limit);
            workspace.give(direction);
            weight
        });
    }
}

/// Returns the matrix with all singular values brought close to one, in its own memory and some
/// square matrices of its smaller side.
///
/// # Shapes
/// `[rows, columns]` -> `[rows, columns]`.
pub fn orthogonalize(matrix: Tensor<2>, iterations: u32, workspace: &mut Workspace) -> Tensor<2> {
    let [rows, columns] = matrix.dims();
    let small = [rows.min(columns); 2];
    let matrix = ops::frobenius_normalize(matrix);
    let (side, transposed) = if rows <= columns {
        (Side::Left, Transposed::Right)
    } else {
        (Side::Right, Transposed::Left)
    };
    let (left, right) = (matrix.clone(), matrix.clone());
    let gram = ops::symmetric_matmul(left, right, workspace.take(small), transposed);
    let factor = iterate(gram, iterations, ops::symmetric_matmul, workspace);
    let result = ops::multiply_square(matrix, factor.clone(), side);
    workspace.give(factor);
    result
}

/// Returns the signal with which `presynaptic^T signal` is [orthogonal](orthogonalize).
///
/// # Shapes
/// `[batch, rows]`, `[batch, columns]` -> `[batch, columns]`.
fn orthogonal_signal(
    presynaptic: &Tensor<2>,
    signal: &Tensor<2>,
    iterations: u32,
    workspace: &mut Workspace,
) -> Tensor<2> {
    let [batch, columns] = signal.dims();
    let small = [batch; 2];
    let mut gram = |of: &Tensor<2>| {
        ops::symmetric_matmul(of.clone(), of.clone(), workspace.take(small), Transposed::Right)
    };
    let (below, above) = (gram(presynaptic), gram(signal));
    // The squared Frobenius norm of the correlation, since both Gram matrices are symmetric. A zero
    // correlation stays zero.
    let square = (above.clone() * below.clone()).sum().reshape([1, 1]) + TINY;
    let gram = product(&above, &below, workspace.take(small));
    workspace.give(above);
    workspace.give(below);
    let factor = iterate(gram / square.clone(), iterations, ops::matmul, workspace);
    let factor = factor / square.sqrt();
    let result = product(&factor, signal, workspace.take([batch, columns]));
    workspace.give(factor);
    result
}

/// Prevents a division by a norm of zero.
const TINY: f32 = 1e-30;

/// A product of two square matrices into a buffer.
type Product = fn(Tensor<2>, Tensor<2>, Tensor<2>, Transposed) -> Tensor<2>;

/// Returns the factor by which `iterations` applications of the polynomial multiply a matrix. It is
/// computed from the Gram matrix (or one with the same eigenvalues), whose memory is reused. All
/// products commute, and are symmetric if the Gram matrix is.
///
/// # Shapes
/// `[n, n]` -> `[n, n]`.
fn iterate(
    gram: Tensor<2>,
    iterations: u32,
    product: Product,
    workspace: &mut Workspace,
) -> Tensor<2> {
    let (a, b, c) = POLYNOMIAL;
    let (small, mut gram) = (gram.dims(), gram);
    let product = |left: &Tensor<2>, right: &Tensor<2>, buffer: Tensor<2>| {
        product(left.clone(), right.clone(), buffer, Transposed::Neither)
    };
    let polynomial_of = |gram: &Tensor<2>, workspace: &mut Workspace| {
        let square = product(gram, gram, workspace.take(small));
        let polynomial = ops::scaled_sum(square, gram.clone(), c, b, f32::INFINITY);
        ops::add_to_diagonal(polynomial, a)
    };
    let mut polynomial = polynomial_of(&gram, workspace);
    // The product of the polynomials so far: the matrix times it is the current iterate.
    let mut total = polynomial.clone();
    for _ in 1..iterations {
        // The Gram matrix of the next iterate.
        let half = product(&polynomial, &gram, workspace.take(small));
        gram = product(&half, &polynomial, gram);
        workspace.give(half);
        workspace.give(polynomial);
        polynomial = polynomial_of(&gram, workspace);
        let next = product(&polynomial, &total, workspace.take(small));
        workspace.give(std::mem::replace(&mut total, next));
    }
    workspace.give(gram);
    workspace.give(polynomial);
    total
}

fn product(left: &Tensor<2>, right: &Tensor<2>, buffer: Tensor<2>) -> Tensor<2> {
    ops::matmul(left.clone(), right.clone(), buffer, Transposed::Neither)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use zor_core::Random;
    use zor_core::burn::tensor::{Device, TensorData};

    /// Checks the singular values of the result by the diagonal of its Gram matrix.
    fn check(shape: [usize; 2]) {
        let device = Device::flex();
        let mut random = Random::seeded(1);
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.normal()).collect();
        let matrix = Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let mut workspace = Workspace::new(&device);
        let result = orthogonalize(matrix.clone(), 5, &mut workspace);
        assert_eq!(result.dims(), shape);
        let small = shape[0].min(shape[1]);
        let gram = if shape[0] <= shape[1] {
            result.clone().matmul(result.clone().transpose())
        } else {
            result.clone().transpose().matmul(result.clone())
        };
        let gram: Vec<f32> = gram.into_data().iter::<f32>().collect();
        for row in 0..small {
            let diagonal = gram[row * small + row];
            assert!((0.3..1.5).contains(&diagonal), "{shape:?}: {diagonal}");
        }
        // The result keeps the direction: it has a positive overlap with the original matrix.
        assert!((result * matrix).sum().into_data().iter::<f32>().all(|overlap| overlap > 0.0));
    }

    #[test]
    fn tall_wide_and_square_matrices_become_orthogonal() {
        for shape in [[20, 5], [5, 20], [12, 12], [100, 33]] {
            check(shape);
        }
    }

    #[test]
    fn factors_move_a_weight_as_their_product_does() {
        let device = Device::flex();
        let mut random = Random::seeded(3);
        let mut noise = |shape| Parameter::normal("w", shape, 1.0, &mut random, &device);
        let (left, right) = (noise([6, 40]).value(), noise([6, 25]).value());
        let mut workspace = Workspace::new(&device);
        let muon = Muon::new(0.1).with_momentum(0.0).with_weight_decay(0.5);
        assert!(muon.prefers_factors([40, 25], 6) && !Muon::new(0.1).prefers_factors([40, 25], 6));
        let mut whole = noise([40, 25]);
        let mut factored = whole.clone();
        muon.step(&mut whole, left.clone().transpose().matmul(right.clone()), &mut workspace);
        muon.step_in_factors(&mut factored, &left, &right, &mut workspace);
        let difference = (whole.value() - factored.value()).abs().max();
        let difference = difference.into_data().iter::<f32>().next();
        assert!(difference.is_some_and(|d| d < 1e-4), "{difference:?}");
        // Without a signal the direction is zero.
        let zeros = right.zeros_like();
        muon.step_in_factors(&mut factored, &left, &zeros, &mut workspace);
        assert!(factored.value().into_data().iter::<f32>().all(f32::is_finite));
    }

    #[test]
    fn the_gram_form_equals_the_plain_iteration() {
        let device = Device::flex();
        let mut random = Random::seeded(2);
        let values: Vec<f32> = (0..30 * 70).map(|_| random.normal()).collect();
        let matrix = Tensor::<2>::from_data(TensorData::new(values, [30, 70]), &device);
        let mut x = ops::frobenius_normalize(matrix.clone());
        for _ in 0..5 {
            let gram = x.clone().matmul(x.clone().transpose());
            let inner = gram.clone() * POLYNOMIAL.1 + gram.clone().matmul(gram) * POLYNOMIAL.2;
            x = x.clone() * POLYNOMIAL.0 + inner.matmul(x);
        }
        let fast = orthogonalize(matrix, 5, &mut Workspace::new(&device));
        let difference = (fast - x).abs().max().into_data().iter::<f32>().next();
        assert!(difference.is_some_and(|d| d < 1e-4), "{difference:?}");
    }
}
