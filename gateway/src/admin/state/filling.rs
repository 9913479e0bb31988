//! When the store is full, were it to go on filling as in the last hour.
//!
//! Owns: the points of the last hour, and the straight line through them (least squares).

use std::collections::VecDeque;

use crate::limits;

/// How full something was over time.
#[derive(Debug, Default)]
pub struct Filling {
    /// Seconds and bytes used, oldest first.
    points: VecDeque<(f64, f64)>,
}

impl Filling {
    /// So many bytes are used at that second.
    pub fn add(&mut self, seconds: f64, used: f64) {
        if self.points.len() == limits::FILLING_POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back((seconds, used));
    }

    /// Seconds from the last point until `capacity` bytes are used; `None` while too little is
    /// known, while it does not fill, and for what is more than a year away.
    pub fn full_in(&self, capacity: f64) -> Option<f64> {
        if self.points.len() < limits::FILLING_POINTS_MIN {
            return None;
        }
        let (last, used) = *self.points.back()?;
        let slope = self.slope()?;
        let left = (capacity - used).max(0.0) / slope;
        let passed = last - self.points.front()?.0;
        // A block that came and will go makes a slope too: less than a thousandth is noise.
        let is_filling = slope > 0.0 && slope * passed * 1000.0 >= capacity;
        (is_filling && left <= limits::FILLING_SECONDS_MAX).then_some(left)
    }

    /// Bytes a second of the line through the points.
    fn slope(&self) -> Option<f64> {
        let count = self.points.len() as f64;
        let mean = |part: fn(&(f64, f64)) -> f64| self.points.iter().map(part).sum::<f64>() / count;
        let (middle, level) = (mean(|point| point.0), mean(|point| point.1));
        let (mut together, mut alone) = (0.0, 0.0);
        for (seconds, used) in &self.points {
            together += (seconds - middle) * (used - level);
            alone += (seconds - middle) * (seconds - middle);
        }
        (alone > 0.0).then(|| together / alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filling(points: impl IntoIterator<Item = f64>) -> Filling {
        let mut filling = Filling::default();
        for (index, used) in points.into_iter().enumerate() {
            filling.add(index as f64 * 10.0, used);
        }
        filling
    }

    #[test]
    fn a_steady_rise_is_continued() {
        let filling = filling((0..100).map(|index| f64::from(index) * 50.0));
        // 5 bytes a second, 4,950 used.
        let left = filling.full_in(10_000.0).unwrap();
        assert!((left - 1010.0).abs() < 1e-6, "{left}");
        assert_eq!(filling.full_in(4_000.0), Some(0.0), "it is full");
    }

    #[test]
    fn a_rise_is_seen_through_what_comes_and_goes() {
        let noise = |index: u32| if index.is_multiple_of(2) { 300.0 } else { 0.0 };
        let filling = filling((0..300).map(|index| f64::from(index) * 20.0 + noise(index)));
        let left = filling.full_in(20_000.0).unwrap();
        assert!((6_000.0..8_000.0).contains(&left), "{left}");
    }

    #[test]
    fn nothing_is_said_of_what_does_not_fill_or_is_not_known() {
        assert_eq!(filling([0.0, 50.0, 100.0]).full_in(1000.0), None);
        assert_eq!(filling([700.0; 60]).full_in(1000.0), None);
        assert_eq!(filling((0..60).map(|index| 900.0 - f64::from(index))).full_in(1e3), None);
        assert_eq!(filling((0..60).map(|index| f64::from(index) * 0.001)).full_in(1e3), None);
        assert_eq!(filling((0..60).map(f64::from)).full_in(1e12), None);
    }

    #[test]
    fn the_hour_before_last_is_forgotten() {
        let mut filling = filling((0..360).map(|index| f64::from(index) * 1000.0));
        for index in 360..720 {
            filling.add(f64::from(index) * 10.0, 360_000.0);
        }
        assert_eq!(filling.points.len(), limits::FILLING_POINTS_MAX);
        assert_eq!(filling.full_in(1e6), None);
    }
}
