//! Phone numbers as they stand in people's files.

use actors::ids::{InvalidPhoneNumber, PhoneNumber};

/// Why a field is no number that may be dialled. Never repeats the field, which may be private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumberField {
    /// Nothing stands there.
    #[error("is empty")]
    Empty,
    /// `4,91512E+12`: a spreadsheet took it for a quantity.
    #[error(
        "was rounded by a spreadsheet (it has an exponent, and its last digits are lost): format \
         the column as text, enter the number again and export it again"
    )]
    Rounded,
    /// `4915112345678.0`: a program took it for a quantity.
    #[error("was made a decimal number by a program: export the column as text")]
    Decimal,
    /// `4915112345678`: the `+` may have been eaten by a spreadsheet, or was never there.
    #[error(
        "has no '+' and country code; where a spreadsheet took the '+' away, format the column as \
         text and export it again"
    )]
    PlusIsMissing,
    /// `004915112345678`: how the `+` is dialled depends on the country one dials from.
    #[error("begins with 00, where a '+' must stand")]
    DoubleZero,
    /// `+49 (0)151 12345678`: in some countries the zero is dialled, in most it is not.
    #[error("has a '(0)': write the number as it is dialled from abroad, most often without the 0")]
    TrunkZero,
    /// It breaks the rule of all phone numbers.
    #[error(transparent)]
    Invalid(#[from] InvalidPhoneNumber),
}

/// Reads a number as people write it: with spaces, dashes, dots, slashes or parentheses between the
/// digits, and spaces around. What remains must be in international format (validation rules of
/// the integration API).
pub fn phone_number_of(field: &str) -> Result<PhoneNumber, InvalidNumberField> {
    let text = field.trim_matches(is_space);
    // By this, people keep spreadsheets from taking a number for a quantity.
    let text = text.strip_prefix('\'').unwrap_or(text);
    if text.is_empty() {
        return Err(InvalidNumberField::Empty);
    }
    if is_rounded(text) {
        return Err(InvalidNumberField::Rounded);
    }
    let whole = text.strip_suffix(".0").or(text.strip_suffix(",0")).unwrap_or(text);
    if whole != text && whole.bytes().all(|b| b.is_ascii_digit() || b == b'+') {
        return Err(InvalidNumberField::Decimal);
    }
    let bare: String = text.chars().filter(|c| !is_space(*c)).collect();
    if bare.contains("(0)") {
        return Err(InvalidNumberField::TrunkZero);
    }
    let bare: String = bare.chars().filter(|c| !is_separator(*c)).collect();
    if bare.starts_with("00") && bare.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidNumberField::DoubleZero);
    }
    if bare.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(InvalidNumberField::PlusIsMissing);
    }
    Ok(bare.parse()?)
}

/// Digits with an exponent, in the notation of either half of Europe.
fn is_rounded(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa = mantissa.strip_prefix('+').unwrap_or(mantissa);
    is_number(&mantissa.replacen(['.', ','], "", 1)) && is_number(exponent)
}

/// White space, and what is copied unseen with a number from a web page or an address book: marks
/// of the writing's direction, a byte order mark.
fn is_space(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_written_as_people_do() {
        for written in [
            "+4915112345",
            "  +49 151 123-45\t",
            "+49.151.123.45",
            "+49 (151) 12345",
            "+49 151/123 45",
            "'+49 151 12345",
            "\u{202a}+49\u{a0}151\u{2011}12345\u{202c}",
        ] {
            let number = phone_number_of(written).expect(written);
            assert_eq!(number.as_str(), "+4915112345", "{written}");
        }
    }

    #[test]
    fn what_happened_to_a_number_is_said_and_not_guessed_at() {
        use InvalidNumberField::*;
        for (written, why) in [
            ("", Empty),
            ("  ", Empty),
            ("'", Empty),
            ("4,91E+12", Rounded),
            ("4.91512345678E12", Rounded),
            ("+4,9E+12", Rounded),
            ("4915112345678.0", Decimal),
            ("+4915112345678.0", Decimal),
            ("4915112345678", PlusIsMissing),
            ("0151 12345678", PlusIsMissing),
            ("(212) 555-0123", PlusIsMissing),
            ("0049 151 12345678", DoubleZero),
            ("+49 (0) 151 12345678", TrunkZero),
            ("+49 151 CALL ME", Invalid(InvalidPhoneNumber::NotDigits)),
            ("+1+2125550123", Invalid(InvalidPhoneNumber::NotDigits)),
            ("+12", Invalid(InvalidPhoneNumber::Length { got_chars: 3 })),
            ("call me", Invalid(InvalidPhoneNumber::NoPlus)),
            ("two 555", Invalid(InvalidPhoneNumber::NoPlus)),
        ] {
            assert_eq!(phone_number_of(written), Err(why), "{written:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_a_number_read_from_it_is_its_digits(text in "\\PC{0,24}") {
            if let Ok(number) = phone_number_of(&text) {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                proptest::prop_assert_eq!(&number.as_str()[1..], digits);
            }
        }
    }
}
