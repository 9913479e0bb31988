//! Owns: the parameters of a form.

use super::answer::Failure;
use crate::auth::decode_percent;

/// Parameters of one request; a policy's statements are not among them.
const PARAMETERS_MAX: usize = 512;

/// The parameters of a form, each once.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form.
    pub(super) fn parse(bytes: &[u8]) -> Result<Form, Failure> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decoded(halves.next().unwrap_or_default());
            let (name, value) = (half()?, half()?);
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(Failure::invalid(format!("The parameter {name} is given twice.")));
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(Failure::invalid("There are more than 512 parameters."));
            }
            parameters.push((name, value));
        }
        Ok(Form(parameters))
    }

    /// A parameter that is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Failure> {
        let missing = || Failure::invalid(format!("The parameter {name} is missing."));
        self.text(name).ok_or_else(missing)
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let wrong = || Failure::invalid(format!("The parameter {name} is not a number."));
        self.text(name).map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    /// Whether a parameter of a list of that name is there.
    pub(super) fn has_list(&self, name: &str) -> bool {
        let start = format!("{name}.member.");
        self.0.iter().any(|(other, _)| other.starts_with(&start))
    }

    /// `Tags.member.1.Key` and `.Value`, and so on.
    pub(super) fn tags(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut tags = Vec::new();
        for number in 1..=PARAMETERS_MAX {
            let part = |part: &str| format!("Tags.member.{number}.{part}");
            match self.text(&part("Key")) {
                Some(key) => {
                    let value = self.text(&part("Value")).unwrap_or_default();
                    tags.push((key.to_owned(), value.to_owned()));
                }
                None => break,
            }
        }
        Ok(tags)
    }
}

fn decoded(text: &[u8]) -> Result<String, Failure> {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(decode_percent(&spaced))
        .map_err(|_| Failure::invalid("The parameters are not UTF-8."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let text = "Action=TagUser&A=b%20c+d%2B&Empty=&Tags.member.1.Key=k&Tags.member.1.Value=v&\
                    Tags.member.2.Key=l&N=17";
        let form = Form::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (form.text("A"), form.text("Empty"), form.text("B")),
            (Some("b c d+"), None, None)
        );
        let tags = [("k".to_owned(), "v".to_owned()), ("l".to_owned(), String::new())];
        assert_eq!(form.tags().unwrap(), tags);
        assert_eq!(form.number("N").unwrap(), Some(17));
        assert!(form.number("A").is_err() && form.needed("B").is_err() && form.has_list("Tags"));
        assert!(Form::parse(b"A=1&A=2").is_err() && Form::parse(b"A=%FF").is_err());
    }
}
