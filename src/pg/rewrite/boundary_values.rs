//! Values of a type, as texts: members of an array, conversions from another type, and boundary
//! values beside and between known ones.

use super::value::{text_of, value_of};
use crate::pg::builtins;
use crate::pg::xact::subtransaction;
use pgrx::pg_sys;
use std::ffi::CString;
use std::panic::AssertUnwindSafe;

/// Number of boundary values.
const MAX_NEIGHBOURS: usize = 24;

/// The elements of an array, without NULLs.
pub fn members(array: pg_sys::Datum, type_: pg_sys::Oid) -> Vec<pg_sys::Datum> {
    // SAFETY: an array of this type; the server allocates `count` values and NULL flags.
    unsafe {
        let (mut length, mut by_value, mut align) = (0, false, 0);
        pg_sys::get_typlenbyvalalign(type_, &mut length, &mut by_value, &mut align);
        let array: *mut pg_sys::ArrayType = pg_sys::pg_detoast_datum(array.cast_mut_ptr()).cast();
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            type_,
            length.into(),
            by_value,
            align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        (0..count as usize).filter(|i| !*nulls.add(*i)).map(|i| *values.add(i)).collect()
    }
}

/// The text of an array with one element.
pub fn list(member: &str) -> String {
    format!("{{\"{}\"}}", member.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value of one type as texts of another. A fraction gives both neighbouring integers; a value
/// that the type does not accept gives none.
pub fn fitting(type_: pg_sys::Oid, from: pg_sys::Oid, text: &str) -> Vec<String> {
    // SAFETY: looks up the types.
    let (base, from) = unsafe { (pg_sys::getBaseType(type_), pg_sys::getBaseType(from)) };
    let whole = [pg_sys::INT2OID, pg_sys::INT4OID, pg_sys::INT8OID].contains(&base);
    let texts = match text.parse::<f64>() {
        Ok(number) if whole && text.contains(['.', 'e', 'E']) => {
            vec![format!("{:.0}", number.floor()), format!("{:.0}", number.ceil())]
        }
        _ => vec![text.to_owned()],
    };
    let is_same = base == from && base == type_ && base.to_u32() < pg_sys::FirstNormalObjectId;
    texts.into_iter().filter(|text| is_same || is_value(type_, text)).collect()
}

/// Whether the input function of a type accepts a text.
pub fn is_value(type_: pg_sys::Oid, text: &str) -> bool {
    let Ok(text) = CString::new(text) else { return false };
    match subtransaction::rolled_back(AssertUnwindSafe(|| value_of(type_, &text))) {
        Ok(_) => true,
        Err(failure) if failure.is_interrupt() => failure.raise(),
        Err(_) => false,
    }
}

/// Whether [`neighbours`] knows values of a type.
pub fn has_neighbours(type_: pg_sys::Oid) -> bool {
    // SAFETY: looks up the type.
    let base = unsafe { pg_sys::getBaseType(type_) };
    !neighbours(base, &[], true).is_empty()
}

/// A value of a type that is none of these; if their order matters, values below, between and above
/// them, too.
pub fn neighbours(type_: pg_sys::Oid, values: &[String], is_ordered: bool) -> Vec<String> {
    let numbers = |smallest: i64, largest: i64, step: i64| {
        let mut known: Vec<i64> = values.iter().filter_map(|value| value.parse().ok()).collect();
        beside(&mut known, smallest, largest, step, is_ordered)
    };
    let moments = |step: i64, smallest: i64, largest: i64| {
        let number = |value: &String| {
            let value = value_of(type_, &CString::new(value.as_str()).ok()?);
            let value = if type_ == pg_sys::DATEOID {
                i64::from(value.value() as i32)
            } else {
                value.value() as i64
            };
            (value > smallest && value < largest).then_some(value)
        };
        let mut known: Vec<i64> = values.iter().filter_map(number).collect();
        let beside = beside(&mut known, smallest + 1, largest - 1, step, is_ordered);
        beside.into_iter().map(|value| text_of(type_, (value as usize).into())).collect::<Vec<_>>()
    };
    let texts = |numbers: Vec<i64>| numbers.iter().map(i64::to_string).collect::<Vec<_>>();
    match type_ {
        pg_sys::BOOLOID => vec!["t".to_owned(), "f".to_owned()],
        pg_sys::INT2OID => texts(numbers(i16::MIN.into(), i16::MAX.into(), 1)),
        pg_sys::INT4OID => texts(numbers(i32::MIN.into(), i32::MAX.into(), 1)),
        pg_sys::INT8OID => texts(numbers(i64::MIN, i64::MAX, 1)),
        pg_sys::NUMERICOID | pg_sys::FLOAT4OID | pg_sys::FLOAT8OID => {
            let mut known: Vec<f64> = values
                .iter()
                .filter_map(|value| value.parse().ok())
                .filter(|v: &f64| v.is_finite())
                .collect();
            known.sort_by(f64::total_cmp);
            let mut found: Vec<f64> =
                known.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
            found.push(known.last().map_or(1.0, |last| last + 1.0));
            found.push(known.first().map_or(0.0, |first| first - 1.0));
            found.truncate(if is_ordered { MAX_NEIGHBOURS } else { 1 });
            found.iter().map(f64::to_string).collect()
        }
        pg_sys::DATEOID => moments(1, i32::MIN.into(), i32::MAX.into()),
        // Steps of a day, in microseconds.
        pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID => {
            moments(86_400_000_000, i64::MIN / 2, i64::MAX / 2)
        }
        pg_sys::TEXTOID | pg_sys::VARCHAROID => {
            let mut found: Vec<String> = values.iter().map(|value| format!("{value}a")).collect();
            found.push(if values.is_empty() { "a".to_owned() } else { String::new() });
            found.truncate(if is_ordered { MAX_NEIGHBOURS } else { 1 });
            found
        }
        pg_sys::UUIDOID => vec![builtins::new_uuid().to_string()],
        _ => Vec::new(),
    }
}

/// Integers below, between and above others; without an order only one above.
fn beside(
    known: &mut Vec<i64>,
    smallest: i64,
    largest: i64,
    step: i64,
    is_ordered: bool,
) -> Vec<i64> {
    known.sort_unstable();
    known.dedup();
    let mut found = vec![known.last().map_or(0, |last| last.saturating_add(step))];
    if is_ordered {
        found.push(known.first().map_or(step, |first| first.saturating_sub(step)));
        found.extend(known.windows(2).map(|pair| i64::midpoint(pair[0], pair[1])));
    }
    found.retain(|number| (smallest..=largest).contains(number) && !known.contains(number));
    found.dedup();
    found.truncate(MAX_NEIGHBOURS);
    found
}
