//! Tails of the normal, Student's and chi-squared distributions, as far as they are needed here.

/// Probability that a standard normal variable is above `z`.
pub fn normal_above(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// Complementary error function: by its series near zero, by its continued fraction further out.
pub fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.5 {
        let mut term = x;
        let mut sum = x;
        for k in 1..100 {
            let k = f64::from(k);
            term *= -x * x / k;
            let add = term / (2.0 * k + 1.0);
            sum += add;
            if add.abs() < 1e-17 * sum.abs() {
                break;
            }
        }
        return 1.0 - std::f64::consts::FRAC_2_SQRT_PI * sum;
    }
    let mut fraction = 0.0;
    for k in (1..=60).rev() {
        fraction = 0.5 * f64::from(k) / (x + fraction);
    }
    (-x * x).exp() / (x + fraction) * std::f64::consts::FRAC_2_SQRT_PI * 0.5
}

/// The value that a standard normal variable is below with probability `p`, by bisection; infinite at 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if normal_above(-middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Probability that Student's t with `freedom` degrees is above `t`, for `t >= 0`.
pub fn student_above(t: f64, freedom: f64) -> f64 {
    if t <= 0.0 {
        return 0.5;
    }
    0.5 * incomplete_beta(freedom / (freedom + t * t), 0.5 * freedom, 0.5)
}

/// The t that is exceeded with probability `p < 0.5`.
pub fn student_quantile_above(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 4.0);
    while student_above(high, freedom) > p && high < 1e12 {
        low = high;
        high *= 8.0;
    }
    for _ in 0..44 {
        let middle = 0.5 * (low + high);
        if student_above(middle, freedom) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Probability that chi-squared with `freedom` degrees is above `x` (Wilson and Hilferty's cube root).
pub fn chi_squared_above(x: f64, freedom: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let k = 2.0 / (9.0 * freedom);
    normal_above(((x / freedom).cbrt() - 1.0 + k) / k.sqrt())
}

/// Regularized incomplete beta function, by its continued fraction.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let safe = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / safe(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / safe(1.0 + even * d);
        c = safe(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / safe(1.0 + odd * d);
        c = safe(1.0 + odd / c);
        let change = d * c;
        h *= change;
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    h
}

/// Stirling's series, after the argument was moved up to where it is exact.
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 12.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series =
        inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from tables of these distributions.
    #[test]
    fn tails_agree_with_tables() {
        for (z, p) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931),
            (1.959_963_985, 0.025),
            (3.0, 0.001_349_898_032),
            (6.0, 9.865_876e-10),
        ] {
            assert!((normal_above(z) / p - 1.0).abs() < 1e-6, "{z}");
        }
        for (t, freedom, p) in [
            (6.313_75, 1.0, 0.05),
            (2.570_58, 5.0, 0.025),
            (2.042_27, 30.0, 0.025),
            (3.659, 29.0, 0.0005),
        ] {
            assert!(
                (student_above(t, freedom) / p - 1.0_f64).abs() < 5e-3,
                "{t} {freedom}"
            );
            assert!((student_quantile_above(p, freedom) / t - 1.0_f64).abs() < 1e-3);
        }
        for (x, freedom, p) in [
            (3.841, 1.0, 0.05),
            (11.070, 5.0, 0.05),
            (18.307, 10.0, 0.05),
        ] {
            assert!(
                (chi_squared_above(x, freedom) / p - 1.0_f64).abs() < 0.08,
                "{x} {freedom}"
            );
        }
        assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-8);
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
    }
}
