//! The console: a page that shows `/api/v1/state`, once a second.
//!
//! Owns: its files, which are part of the binary. The page loads nothing from elsewhere, so it works
//! where there is no internet, and it has no figures in it, so anybody may load it: whom the server
//! does not know is asked for a token by it.
//!
//! `main.js` asks and hands the answer around; `verdict.js` says in words what limits the server;
//! `panels.js` and `requests.js` fill the page's tables; `chart.js` draws; `format.js` prints
//! numbers; `page.js` changes the page only where something changed.
//! Not here: what the figures mean (`admin/state/mod.rs`).

/// A file of the console.
#[derive(Debug)]
pub struct Asset {
    /// Its path on the administration address.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// What is in it.
    pub text: &'static str,
}

macro_rules! assets {
    ($($path:literal $kind:literal $file:literal;)*) => {
        &[$(Asset { path: $path, kind: $kind, text: include_str!($file) }),*]
    };
}

/// All files.
pub static ASSETS: &[Asset] = assets! {
    "/" "text/html; charset=utf-8" "console.html";
    "/console/console.css" "text/css; charset=utf-8" "console.css";
    "/console/icon.svg" "image/svg+xml" "icon.svg";
    "/console/main.js" "text/javascript; charset=utf-8" "main.js";
    "/console/verdict.js" "text/javascript; charset=utf-8" "verdict.js";
    "/console/panels.js" "text/javascript; charset=utf-8" "panels.js";
    "/console/requests.js" "text/javascript; charset=utf-8" "requests.js";
    "/console/chart.js" "text/javascript; charset=utf-8" "chart.js";
    "/console/page.js" "text/javascript; charset=utf-8" "page.js";
    "/console/format.js" "text/javascript; charset=utf-8" "format.js";
};

/// The file of that path.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_refer_to_nothing_but_each_other() {
        for asset in ASSETS {
            for scheme in ["http://", "https://", "url(", "@import", "eval(", "innerHTML"] {
                let known = asset.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!known.contains(scheme), "{} has {scheme}", asset.path);
            }
            let quoted = asset.text.split('"').skip(1).step_by(2);
            for path in quoted.filter(|it| it.starts_with("/console/")) {
                assert!(super::asset(path).is_some(), "{} refers to {path}", asset.path);
            }
            // Modules name each other by relative paths.
            let relative = asset.text.split('"').filter_map(|it| it.strip_prefix("./"));
            for file in relative {
                let path = format!("/console/{file}");
                assert!(super::asset(&path).is_some(), "{} refers to {path}", asset.path);
            }
        }
    }

    #[test]
    fn the_page_keeps_to_its_policy() {
        let page = asset("/").unwrap().text;
        assert!(!page.contains("style=") && !page.contains("<style"), "inline styles are refused");
        let mut words = page.split(|char: char| char.is_whitespace() || char == '<');
        let handler = words.find(|word| word.starts_with("on") && word.contains("=\""));
        assert_eq!(handler, None, "inline scripts are refused");
        for script in page.match_indices("<script") {
            assert!(page[script.0..].starts_with("<script type=\"module\" src="), "inline script");
        }
    }
}
