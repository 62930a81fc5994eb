//! A line through points in time, by least squares.

/// The line, with the uncertainty of its slope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) slope: f64,
    pub(crate) at_zero: f64,
    /// The standard error of the slope.
    pub(crate) error: f64,
}

impl Line {
    /// Fits a line to points at equal distances. `None` if there are too few.
    ///
    /// Memory a second later is nearly the same, so the points say less than as many independent
    /// ones would. The standard error allows for that by the correlation of neighbors (that of a
    /// first-order autoregression).
    pub(crate) fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 4 {
            return None;
        }
        let count = to_float(points.len());
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let common: f64 = points
            .iter()
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum();
        let slope = common / spread;
        let at_zero = mean_y - slope * mean_x;
        let rest: Vec<f64> = points
            .iter()
            .map(|(x, y)| y - slope * x - at_zero)
            .collect();
        let variance = rest.iter().map(|rest| rest.powi(2)).sum::<f64>() / (count - 2.0);
        let error = (variance / spread).sqrt() * inflation(&rest);
        Some(Self {
            slope,
            at_zero,
            error,
        })
    }

    pub(crate) fn at(&self, x: f64) -> f64 {
        self.at_zero + self.slope * x
    }

    /// The bounds of the slope: between them it is in 95 of 100 cases.
    pub(crate) fn bounds(&self) -> [f64; 2] {
        [-1.96, 1.96].map(|errors| self.slope + errors * self.error)
    }
}

/// The factor by which correlated points are less certain.
fn inflation(rest: &[f64]) -> f64 {
    let all: f64 = rest.iter().map(|rest| rest.powi(2)).sum();
    if all <= 0.0 {
        return 1.0;
    }
    let neighbors: f64 = rest.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let correlation = (neighbors / all).clamp(0.0, 0.9999);
    ((1.0 + correlation) / (1.0 - correlation)).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 samples")]
fn to_float(count: usize) -> f64 {
    count as f64
}
