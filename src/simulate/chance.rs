//! Random numbers that depend on a seed and a key alone.
//!
//! A stream per thing that is drawn for (a user, a song on a day) instead of one stream for all: the order of drawing,
//! and with it the number of threads or the length of a range, does not change what anything gets. SplitMix64 has eight
//! bytes of state, where ChaCha has three hundred; a million users are simulated at once. Transcendental functions come
//! from `libm`, because the platform's own differ in the last bit between machines.

/// A SplitMix64 stream.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// The stream of `key` under `seed`; keys are lists of numbers, so that `[user, 1]` and `[song, day]` never meet
    /// when their first parts differ.
    pub fn of(seed: u64, key: &[u64]) -> Self {
        let state = key.iter().fold(mix(seed.wrapping_add(GOLDEN)), |h, k| mix(h.wrapping_add(GOLDEN) ^ mix(k.wrapping_add(GOLDEN))));
        Self(state)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`; 0 for an empty range.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as usize) as i64
    }

    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Standard normal (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.unit();
        let v = self.unit();
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }

    /// Log-normal with the given mean and the spread of its logarithm.
    pub fn log_normal(&mut self, mean: f64, spread: f64) -> f64 {
        mean * libm::exp(spread * self.normal() - spread * spread / 2.0)
    }

    /// One of `items`; `items` must not be empty.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &'a [&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// Index drawn by weight; the last one when weights do not add up (all zero).
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (i, w) in weights.enumerate() {
            last = i;
            left -= w;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// Letters and digits as in Spotify's ids.
    pub fn base62(&mut self, length: usize) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        (0..length).map(|_| DIGITS[self.below(62)] as char).collect()
    }

    pub fn hexadecimal(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from_digit(self.below(16) as u32, 16).unwrap_or('0')).collect()
    }
}

/// Draws an index by weight in constant time (Walker's alias method).
#[derive(Clone, Debug, Default)]
pub struct Lottery {
    /// `(chance to stay, alias)`
    cells: Vec<(f32, u32)>,
}

impl Lottery {
    pub fn new(weights: &[f64]) -> Self {
        let n = weights.len();
        let total: f64 = weights.iter().sum();
        if n == 0 || total <= 0.0 {
            return Self::default();
        }
        let mut scaled: Vec<f64> = weights.iter().map(|w| w * n as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| scaled[*i] < 1.0);
        let mut cells: Vec<(f32, u32)> = (0..n).map(|i| (1.0, i as u32)).collect();
        while let (Some(s), Some(l)) = (small.pop(), large.pop()) {
            cells[s] = (scaled[s] as f32, l as u32);
            scaled[l] -= 1.0 - scaled[s];
            if scaled[l] < 1.0 { small.push(l) } else { large.push(l) }
        }
        Self { cells }
    }

    /// `None` when there is nothing to win.
    pub fn draw(&self, chance: &mut Chance) -> Option<usize> {
        if self.cells.is_empty() {
            return None;
        }
        let i = chance.below(self.cells.len());
        let (stay, alias) = self.cells[i];
        Some(if chance.unit() < f64::from(stay) { i } else { alias as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_key_alone() {
        let draw = |seed, key: &[u64]| Chance::of(seed, key).bits();
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        for other in [draw(2, &[2, 3]), draw(1, &[3, 2]), draw(1, &[2]), draw(1, &[2, 3, 0])] {
            assert_ne!(draw(1, &[2, 3]), other);
        }
    }

    #[test]
    fn distributions_have_their_means() {
        let mut c = Chance::of(7, &[]);
        let mean = |f: &mut dyn FnMut() -> f64| (0..40_000).map(|_| f()).sum::<f64>() / 40_000.0;
        for (got, expect) in [
            (mean(&mut || c.unit()), 0.5),
            (mean(&mut || c.exponential(3.0)), 3.0),
            (mean(&mut || c.log_normal(5.0, 0.5)), 5.0),
            (mean(&mut || c.below(5) as f64), 2.0),
            (mean(&mut || 1.0 + c.normal()), 1.0),
        ] {
            assert!((got - expect).abs() < 0.04 * expect, "{got} is not {expect}");
        }
    }

    #[test]
    fn a_lottery_follows_its_weights() {
        let lottery = Lottery::new(&[1.0, 0.0, 3.0]);
        let mut c = Chance::of(1, &[]);
        let mut wins = [0; 3];
        for _ in 0..40_000 {
            wins[lottery.draw(&mut c).expect("weights are not all zero")] += 1;
        }
        assert_eq!(wins[1], 0);
        assert!((9_500..10_500).contains(&wins[0]), "{wins:?}");
        assert_eq!(Lottery::new(&[0.0]).draw(&mut c), None);
    }
}
