//! *Owns:* how byte counts are written for people.

use std::fmt;

/// A number of bytes, shown in the largest binary unit that keeps it readable: `376 MiB`, `1.5 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
        let mut unit = 0;
        while unit + 1 < UNITS.len() && self.0 >> (10 * (unit + 1)) != 0 {
            unit += 1;
        }
        let one = 1_u64 << (10 * unit);
        let text = if self.0.is_multiple_of(one) {
            format!("{} {}", self.0 / one, UNITS[unit])
        } else {
            format!("{:.1} {}", self.0 as f64 / one as f64, UNITS[unit])
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_read_well() {
        assert_eq!(Size(0).to_string(), "0 bytes");
        assert_eq!(Size(4096).to_string(), "4 KiB");
        assert_eq!(Size(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Size(1 << 50).to_string(), "1024 TiB");
        assert_eq!(format!("{:>8}", Size(4096)), "   4 KiB");
    }
}
