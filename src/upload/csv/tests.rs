use proptest::prelude::*;

use super::*;
use crate::upload::MAX_COLUMNS;

type Read = Result<(Vec<Result<Row, BadRow>>, Option<String>), CsvError>;

fn read_in(chunks: &mut dyn Iterator<Item = &[u8]>) -> Read {
    let mut upload = CsvUpload::new();
    let mut rows = Vec::new();
    for chunk in chunks {
        rows.extend(upload.push(chunk)?);
    }
    rows.extend(upload.finish()?);
    Ok((rows, upload.note()))
}

fn read(file: &[u8]) -> Read {
    read_in(&mut std::iter::once(file))
}

/// The rows of a file without a bad one.
fn good(file: &[u8]) -> Vec<(u64, Vec<String>)> {
    let (rows, _) = read(file).expect("has a header");
    rows.into_iter().map(|row| row.expect("is good")).map(|row| (row.line, row.fields)).collect()
}

/// What is wrong, a line each.
fn bad(file: &[u8]) -> Vec<String> {
    let (rows, _) = read(file).expect("has a header");
    rows.into_iter().filter_map(Result::err).map(|bad| bad.to_string()).collect()
}

fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
    (line, fields.iter().map(|field| (*field).to_owned()).collect())
}

#[test]
fn a_file_is_read_whatever_wrote_it() {
    let rows = vec![row(2, &["+1", "a"]), row(3, &["+2", "b"])];
    assert_eq!(good(b"phone_number,name\n+1,a\n+2,b\n"), rows);
    assert_eq!(good(b"phone_number;name\r\n+1;a\r\n+2;b"), rows);
    assert_eq!(good(b"phone_number\tname\r+1\ta\r+2\tb\r"), rows);
    assert_eq!(good(b"\xef\xbb\xbfphone_number,name\n\"+1\",\"a\"\n+2,b"), rows);
}

#[test]
fn columns_are_known_once_the_first_line_is_read() {
    let mut upload = CsvUpload::new();
    upload.push(b"Name,phone").expect("no error yet");
    assert_eq!((upload.columns().len(), upload.phone_column()), (0, None));
    upload.push(b"_number\n").expect("a header");
    assert_eq!(upload.columns(), ["Name", "phone_number"]);
    assert_eq!(upload.phone_column(), Some(1));
    assert_eq!((upload.column("NAME"), upload.column("note")), (Some(0), None));
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    let file = b"\n \r\nphone_number,note\r\n\r\n+1,\"two\r\nlines\"\r\n\n,\n+2,x\r+3,y";
    let notes = [row(5, &["+1", "two\r\nlines"]), row(9, &["+2", "x"]), row(10, &["+3", "y"])];
    // Empty lines and rows of empty fields are counted, and mean nothing.
    let rows = good(&file[..]);
    let told: Vec<_> = rows.into_iter().filter(|(_, fields)| !fields[0].is_empty()).collect();
    assert_eq!(told, notes);
}

#[test]
fn a_bad_row_spoils_no_other() {
    let long = "x".repeat(MAX_FIELD_CHARS + 1);
    let huge = "x".repeat(2 * MAX_ROW_BYTES);
    let fits = "ü".repeat(MAX_FIELD_CHARS);
    let many = ",".repeat(1_000);
    let file = format!(
        "phone_number,note\n+1\n+2,{long}\n+3,{fits}\n+4,{huge}\n+5,a,b\n+6{many}\n+7,\0\n+8,c\n"
    );
    let (rows, _) = read(file.as_bytes()).expect("has a header");
    let lines: Vec<u64> = rows.iter().filter_map(|row| Some(row.as_ref().ok()?.line)).collect();
    assert_eq!(lines, [4, 9]);
    let told = [
        "line 2 has 1 fields, and the header has 2",
        "line 3 has over 10000 characters in note",
        "line 5 has over 1048576 bytes",
        "line 6 has 3 fields, and the header has 2",
        "line 7 has 1001 fields, and the header has 2",
        "line 8 has the character U+0000 in note",
    ];
    assert_eq!(bad(file.as_bytes()), told);
}

#[test]
fn a_quote_that_is_not_closed_is_told_with_its_line() {
    let never = b"phone_number,note\n+1,a\n+2,\"b\n+3,c\n";
    let (rows, _) = read(never).expect("has a header");
    assert_eq!(rows.len(), 2);
    let said = "line 3 has a quote that is never closed; nothing from here on was read";
    assert_eq!(bad(never), [said]);
    let late = b"phone_number,note\n+1,\"b\n+3,c\n+4,d\",x\n+5,e\n";
    let (rows, _) = read(late).expect("has a header");
    assert_eq!(rows.last().and_then(|row| Some(row.as_ref().ok()?.line)), Some(5));
    let [said] = bad(late).try_into().expect("one");
    assert!(said.starts_with("line 2 has ") && said.ends_with("is a quote not closed?"), "{said}");
}

#[test]
fn latin1_is_read_and_told_with_the_first_line_of_it() {
    let (rows, note) = read(b"phone_number,name\n+1,\xc3\xa4\n+2,M\xfcller\n").expect("a header");
    let rows: Vec<Row> = rows.into_iter().map(|row| row.expect("is good")).collect();
    assert_eq!((rows[0].fields[1].as_str(), rows[1].fields[1].as_str()), ("ä", "Müller"));
    let said = "line 3 is not UTF-8 and was read as Latin-1 (windows-1252)";
    assert_eq!(note.as_deref(), Some(said));
    assert_eq!(read("phone_number\nä".as_bytes()).expect("a header").1, None);
}

#[test]
fn a_file_without_rows_is_refused_with_a_reason() {
    for empty in [&b""[..], b"\n\r\n", b"\xef\xbb\xbf", b"  \n"] {
        assert_eq!(read(empty), Err(CsvError::Empty), "{empty:?}");
    }
    for header in [&b"phone_number"[..], b"phone_number\n", b"phone_number\r\n\n"] {
        assert_eq!(read(header), Err(CsvError::NoRows), "{header:?}");
    }
    assert!(bad(b"phone_number\na,b").len() == 1, "a bad row is one too");
    assert_eq!(read(&[b'x'; MAX_HEADER_BYTES + 1]), Err(CsvError::HeaderTooLong));
    let shown = read(b"+1,a\n+2,b\n").expect_err("no header").to_string();
    assert!(shown.contains("'phone_number'") && shown.ends_with("it is: '+1,a'"), "{shown}");
}

/// As a spreadsheet writes it: quoted where it must be.
fn written(delimiter: char, end: &str, rows: &[Vec<String>]) -> String {
    let field = |field: &String| match field.contains([delimiter, '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    let line = |row: &Vec<String>| {
        row.iter().map(field).collect::<Vec<_>>().join(&delimiter.to_string()) + end
    };
    rows.iter().map(line).collect()
}

/// Bytes that are likely to be a header, a quote or an end somewhere.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"phone_number".to_vec()),
        Just(b"phone_number,a\n".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        prop::sample::select(&b",;\t\"\r\n \0\xff\xc3"[..]).prop_map(|byte| vec![byte]),
        prop::collection::vec(any::<u8>(), 0..8),
        (0usize..6_000).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_a_writer_wrote_is_read_back(
        fields in prop::collection::vec(("[+0-9]{1,9}", "\\PC{0,9}", "[a,;\t\"\r\n ]{0,6}"), 1..9),
        delimiter in prop::sample::select(&[',', ';', '\t'][..]),
        end in prop::sample::select(&["\n", "\r\n", "\r"][..]),
    ) {
        let header = ["phone_number", "name", "note"].map(str::to_owned).to_vec();
        let rows = fields.into_iter().map(|(a, b, c)| vec![a, b, c]);
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        let read: Vec<_> = good(written(delimiter, end, &rows).as_bytes());
        let read: Vec<_> = read.into_iter().map(|(_, fields)| fields).collect();
        prop_assert_eq!(read, &rows[1..]);
    }

    #[test]
    fn where_chunks_end_makes_no_difference(
        file in anything(),
        lengths in prop::collection::vec(1usize..5_000, 1..20),
    ) {
        let whole = read(&file);
        let bytes = read_in(&mut file.chunks(1));
        let mut lengths = lengths.into_iter().cycle();
        let mut rest = file.as_slice();
        let mut chunks = std::iter::from_fn(|| {
            let (chunk, after) = rest.split_at(lengths.next()?.min(rest.len()));
            rest = after;
            (!chunk.is_empty()).then_some(chunk)
        });
        prop_assert_eq!(&whole, &bytes);
        prop_assert_eq!(whole, read_in(&mut chunks));
    }

    #[test]
    fn no_file_makes_it_panic_and_every_row_is_whole(file in anything()) {
        let mut upload = CsvUpload::new();
        let Ok(mut rows) = upload.push(&file) else { return Ok(()) };
        let Ok(last) = upload.finish() else { return Ok(()) };
        rows.extend(last);
        let columns = upload.columns().len();
        prop_assert!((1..=MAX_COLUMNS).contains(&columns));
        let lines = rows.iter().map(|row| row.as_ref().map_or_else(|bad| bad.line, |row| row.line));
        prop_assert!(lines.is_sorted_by(|one, next| one < next), "a line begins one row");
        for row in rows.iter().flatten() {
            prop_assert_eq!(row.fields.len(), columns);
        }
    }
}
