//! Small numbers as values of headers: nothing is allocated for those that most answers carry several of.

use http::HeaderValue;

/// How many are there.
const SMALL: usize = 1000;

/// Their digits, three each.
static DIGITS: [u8; 3 * SMALL] = {
    let mut digits = [0; 3 * SMALL];
    let mut number = 0;
    while number < SMALL {
        digits[3 * number] = b'0' + (number / 100) as u8;
        digits[3 * number + 1] = b'0' + (number / 10 % 10) as u8;
        digits[3 * number + 2] = b'0' + (number % 10) as u8;
        number += 1;
    }
    digits
};

/// A number as it stands in a header.
pub(super) fn number(number: impl Into<i64>) -> HeaderValue {
    let number = number.into();
    let Some(small) = usize::try_from(number).ok().filter(|small| *small < SMALL) else {
        return spelt(number);
    };
    let leading = usize::from(small < 100) + usize::from(small < 10);
    match std::str::from_utf8(&DIGITS[3 * small + leading..3 * small + 3]) {
        Ok(digits) => HeaderValue::from_static(digits),
        Err(_) => spelt(number),
    }
}

/// Any number: in as many bytes as it has digits, which `HeaderValue`'s own way cuts down to after it has written them.
fn spelt(number: i64) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    HeaderValue::from_str(digits.format(number)).unwrap_or_else(|_| HeaderValue::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_written_as_itself() {
        let some = (-2..1200).chain([i64::MAX, i64::MIN, 1_000_000_000_000]);
        some.for_each(|one| assert_eq!(number(one), one.to_string().as_str()));
    }
}
