//! What a certificate says of itself: names and times.
//!
//! Owns: the walk through X.509's DER (RFC 5280, 4.1) as far as these few fields are. It trusts
//! nothing: what is not as it should be is no certificate. Whether a certificate is to be believed is
//! decided elsewhere (rustls verifies chains and signatures) and before anybody asks for names here.

/// Names and times of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The subject's common name, where there is exactly one that is text.
    pub common_name: Option<String>,
    /// Alternative names that are DNS names, in lower case.
    pub dns_names: Vec<String>,
    /// Alternative names that are addresses of mail.
    pub emails: Vec<String>,
    /// Alternative names that are URIs, such as SPIFFE's.
    pub uris: Vec<String>,
    /// The first second in which it is not valid any more, since 1970.
    pub not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Kinds of text whose bytes are UTF-8: UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// `[0]`, the version.
const VERSION: u8 = 0xa0;
/// `[3]`, the extensions.
const EXTENSIONS: u8 = 0xa3;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// id-ce-subjectAltName, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

impl Facts {
    /// Reads them; `None` for what is no certificate.
    pub fn of(certificate: &[u8]) -> Option<Facts> {
        let mut certificate = Reader(certificate).inner(SEQUENCE)?;
        let mut fields = certificate.inner(SEQUENCE)?;
        fields.skip_if(VERSION);
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        fields.take(SEQUENCE)?;
        let mut validity = fields.inner(SEQUENCE)?;
        validity.any()?;
        let not_after = time(validity.any()?)?;
        let common_name = common_name(fields.inner(SEQUENCE)?)?;
        fields.take(SEQUENCE)?;
        let mut facts = Facts { common_name, not_after, ..Facts::default() };
        while let Some((tag, content)) = fields.any() {
            if tag == EXTENSIONS {
                facts.read_extensions(Reader(content).inner(SEQUENCE)?)?;
            }
        }
        Some(facts)
    }

    fn read_extensions(&mut self, mut extensions: Reader<'_>) -> Option<()> {
        while !extensions.0.is_empty() {
            let mut extension = extensions.inner(SEQUENCE)?;
            let identifier = extension.take(OBJECT_IDENTIFIER)?;
            extension.skip_if(BOOLEAN);
            let value = extension.take(OCTET_STRING)?;
            if identifier == ALTERNATIVE_NAMES {
                let mut names = Reader(value).inner(SEQUENCE)?;
                while !names.0.is_empty() {
                    let (tag, content) = names.any()?;
                    self.add_name(tag, content);
                }
            }
        }
        Some(())
    }

    /// GeneralName: `[1]` mail, `[2]` DNS, `[6]` URI, of which each is an IA5String.
    fn add_name(&mut self, tag: u8, content: &[u8]) {
        let Some(text) = std::str::from_utf8(content).ok().filter(|text| text.is_ascii()) else {
            return;
        };
        match tag {
            0x81 => self.emails.push(text.to_owned()),
            0x82 => self.dns_names.push(text.to_ascii_lowercase()),
            0x86 => self.uris.push(text.to_owned()),
            _ => {}
        }
    }
}

/// Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }. The outer `None` says that it is none.
fn common_name(mut names: Reader<'_>) -> Option<Option<String>> {
    let mut found = Vec::new();
    while !names.0.is_empty() {
        let mut set = names.inner(SET)?;
        while !set.0.is_empty() {
            let mut attribute = set.inner(SEQUENCE)?;
            let identifier = attribute.take(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.any()?;
            if identifier == COMMON_NAME {
                let text = std::str::from_utf8(value).ok();
                found.push(text.filter(|_| TEXTS.contains(&tag)).map(str::to_owned));
            }
        }
    }
    // Of several nobody can say which one is meant.
    Some(if found.len() == 1 { found.pop().flatten() } else { None })
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that RFC 5280 allows.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let year = number(text.get(..2)?)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (number(text.get(..4)?)?, text.get(4..)?),
        _ => return None,
    };
    if rest.len() != 11 || rest[10] != b'Z' {
        return None;
    }
    let part = |at: usize| number(&rest[at..at + 2]);
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    let sound = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    sound.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 in the Gregorian calendar, whose year is taken to begin in March, so that the
/// day that some years have more is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// What is left of a sequence of DER's elements.
#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and its content.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of several bytes stand nowhere in what is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which has that tag.
    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.any().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    /// The elements within the next one.
    fn inner(&mut self, wanted: u8) -> Option<Reader<'a>> {
        self.take(wanted).map(Reader)
    }

    /// Passes over the next element if it has that tag.
    fn skip_if(&mut self, wanted: u8) {
        let mut ahead = *self;
        if ahead.take(wanted).is_some() {
            *self = ahead;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let names = vec!["S3.example.com".to_owned(), "*.s3.example.com".to_owned()];
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::OrganizationName, "Example");
        parameters.distinguished_name.push(DnType::CommonName, "loader");
        parameters.not_after = rcgen::date_time_ymd(2031, 2, 28);
        change(&mut parameters);
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_times_are_read() {
        let certificate = made(|parameters| {
            for name in [
                SanType::Rfc822Name("loader@example.com".try_into().unwrap()),
                SanType::URI("spiffe://example.com/loader".try_into().unwrap()),
                SanType::IpAddress("127.0.0.1".parse().unwrap()),
            ] {
                parameters.subject_alt_names.push(name);
            }
        });
        let facts = Facts::of(&certificate).unwrap();
        assert_eq!(facts.common_name.as_deref(), Some("loader"));
        assert_eq!(facts.dns_names, ["s3.example.com", "*.s3.example.com"]);
        assert_eq!(facts.emails, ["loader@example.com"]);
        assert_eq!(facts.uris, ["spiffe://example.com/loader"]);
        // date -ud 2031-02-28 +%s
        assert_eq!(facts.not_after, 1_930_003_200);
    }

    #[test]
    fn times_after_2049_are_read_too() {
        let certificate = made(|it| it.not_after = rcgen::date_time_ymd(2104, 2, 29));
        // date -ud 2104-02-29 +%s
        assert_eq!(Facts::of(&certificate).unwrap().not_after, 4_233_686_400);
    }

    #[test]
    fn dates_are_counted_from_1970() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
        assert_eq!(days(1969, 12, 31), -1);
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_is_read_or_not_but_never_panics(
            at in 0usize..600, value: u8, end in 0usize..600,
        ) {
            let mut certificate = made(|_| {});
            let last = certificate.len() - 1;
            certificate[at.min(last)] = value;
            let _ = Facts::of(&certificate);
            let _ = Facts::of(&certificate[..end.min(last)]);
        }
    }
}
