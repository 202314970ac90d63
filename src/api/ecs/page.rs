//! Pages of lists: `maxResults` and `nextToken`.

use serde::Deserialize;

use super::EcsError;

/// What a List operation takes for its pages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageRequest {
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// A page, and the token for the next one if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The items.
    pub items: Vec<String>,
    /// What to ask with for more.
    pub next_token: Option<String>,
}

impl PageRequest {
    /// The page of `items` that was asked for, 1–100 of them, `default` unless said otherwise. A token is the last item of the page
    /// before, so that items that come or go between two requests shift nothing.
    ///
    /// # Errors
    /// `maxResults` out of bounds, or a token that is none of this list's.
    pub fn page(&self, items: Vec<String>, default: usize) -> Result<Page, EcsError> {
        let size = match self.max_results {
            None => default,
            Some(n @ 1..=100) => usize::try_from(n).unwrap_or(default),
            Some(n) => {
                return Err(EcsError::invalid_parameter(format!(
                    "maxResults is {n}; it must be from 1 to 100"
                )));
            }
        };
        let start = match self.next_token.as_deref().filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => {
                let (position, last) = read_token(token)
                    .ok_or_else(|| EcsError::invalid_parameter("Invalid token."))?;
                match items.iter().position(|item| *item == last) {
                    Some(index) => index + 1,
                    // It is gone; what followed it stands where it stood.
                    None => position.min(items.len()),
                }
            }
        };
        let page: Vec<String> = items.iter().skip(start).take(size).cloned().collect();
        let end = start + page.len();
        let next_token = page
            .last()
            .filter(|_| end < items.len())
            .map(|last| write_token(end - 1, last));
        Ok(Page {
            items: page,
            next_token,
        })
    }
}

/// Where the last item stood, and the item, in hexadecimal: opaque enough that nobody builds one.
fn write_token(position: usize, item: &str) -> String {
    use std::fmt::Write as _;
    format!("{position}:{item}")
        .bytes()
        .fold(String::new(), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        })
}

fn read_token(token: &str) -> Option<(usize, String)> {
    let digits = token.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    let text = String::from_utf8(bytes).ok()?;
    let (position, item) = text.split_once(':')?;
    Some((position.parse().ok()?, item.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("item-{i:03}")).collect()
    }

    fn ask(token: Option<String>, max: Option<i64>) -> PageRequest {
        PageRequest {
            next_token: token,
            max_results: max,
        }
    }

    #[test]
    fn pages_cover_everything_once_and_the_last_has_no_token() {
        let all = items(25);
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = ask(token, None).page(all.clone(), 10).unwrap();
            seen.extend(page.items);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!(ask(None, Some(25)).page(all, 10).unwrap().next_token, None);
    }

    #[test]
    fn an_item_that_goes_or_comes_between_two_pages_shifts_nothing() {
        let mut all = items(6);
        let first = ask(None, Some(3)).page(all.clone(), 10).unwrap();
        all.remove(2); // the last of the first page
        let second = ask(first.next_token.clone(), Some(3))
            .page(all.clone(), 10)
            .unwrap();
        assert_eq!(second.items, ["item-003", "item-004", "item-005"]);
        all = items(6);
        all.insert(0, "earlier".to_owned());
        let second = ask(first.next_token, Some(3)).page(all, 10).unwrap();
        assert_eq!(second.items, ["item-003", "item-004", "item-005"]);
    }

    #[test]
    fn bounds_and_strange_tokens_are_refused() {
        for request in [
            ask(None, Some(0)),
            ask(None, Some(101)),
            ask(Some("zz".to_owned()), None),
            ask(Some("abc".to_owned()), None),
            ask(Some("ffff".to_owned()), None),
        ] {
            let error = request.page(items(3), 10).unwrap_err();
            assert_eq!(error.kind, "InvalidParameterException");
        }
    }
}
