//! Bytes behind datums, without an assumption about the encoding of the database.

use pgrx::pg_sys;

/// Element type of an array.
#[derive(Clone, Copy)]
pub enum ElementType {
    /// text
    Text,
    /// uuid
    Uuid,
    /// int2
    Int2,
}

/// The bytes of a text, varchar or bytea datum.
///
/// # Safety
/// `datum` must be a varlena.
pub unsafe fn varlena_bytes(datum: pg_sys::Datum) -> Vec<u8> {
    // SAFETY: as the caller vouches; a detoasted copy lives in the current memory context.
    unsafe {
        let packed = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
        std::slice::from_raw_parts(
            pgrx::vardata_any(packed).cast::<u8>(),
            pgrx::varsize_any_exhdr(packed),
        )
        .to_vec()
    }
}

/// Calls `work` with the bytes of a varlena; only a compressed or external value is copied.
///
/// # Safety
/// `datum` must be a varlena.
pub unsafe fn with_varlena<R>(datum: pg_sys::Datum, work: impl FnOnce(&[u8]) -> R) -> R {
    // SAFETY: as the caller vouches; a detoasted copy lives until it is freed here.
    unsafe {
        let original = datum.cast_mut_ptr::<pg_sys::varlena>();
        let is_plain = !pgrx::varatt_is_1b_e(original) && !pgrx::varatt_is_4b_c(original);
        let plain = if is_plain { original } else { pg_sys::pg_detoast_datum_packed(original) };
        let bytes = std::slice::from_raw_parts(
            pgrx::vardata_any(plain).cast::<u8>(),
            pgrx::varsize_any_exhdr(plain),
        );
        let result = work(bytes);
        if plain != original {
            pg_sys::pfree(plain.cast());
        }
        result
    }
}

/// The numeric `number / 10^places`, with that many decimal places.
///
/// PostgreSQL 15.1 and older minors answer four decimal places too few where `places` is a multiple
/// of four, so no caller may pass such a number but zero.
pub fn decimal(number: i64, places: u16) -> pg_sys::Datum {
    debug_assert!(places == 0 || !places.is_multiple_of(4), "{places} places");
    // SAFETY: the functions take integers and return a numeric in the current memory context.
    let numeric = unsafe {
        match places {
            0 => pg_sys::int64_to_numeric(number),
            _ => pg_sys::int64_div_fast_to_numeric(number, places.into()),
        }
    };
    pg_sys::Datum::from(numeric)
}

/// The 16 bytes of a uuid datum.
///
/// # Safety
/// `datum` must be a uuid.
pub unsafe fn uuid_bytes(datum: pg_sys::Datum) -> [u8; 16] {
    // SAFETY: a uuid datum points to 16 bytes; bytes need no alignment.
    unsafe { *datum.cast_mut_ptr::<[u8; 16]>() }
}

/// The elements of an array of any dimensions, without NULLs.
///
/// # Safety
/// `datum` must be an array of `element`.
pub unsafe fn array_elements(datum: pg_sys::Datum, element: ElementType) -> Vec<pg_sys::Datum> {
    let (oid, length, is_by_value, alignment) = match element {
        ElementType::Text => (pg_sys::TEXTOID, -1, false, b'i'),
        ElementType::Uuid => (pg_sys::UUIDOID, 16, false, b'c'),
        ElementType::Int2 => (pg_sys::INT2OID, 2, true, b's'),
    };
    let mut values: *mut pg_sys::Datum = std::ptr::null_mut();
    let mut nulls: *mut bool = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: as the caller vouches; the server allocates `count` values and NULL flags.
    unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        pg_sys::deconstruct_array(
            array,
            oid,
            length,
            is_by_value,
            alignment as _,
            &mut values,
            &mut nulls,
            &mut count,
        );
        (0..usize::try_from(count).unwrap_or(0))
            .filter(|i| !*nulls.add(*i))
            .map(|i| *values.add(i))
            .collect()
    }
}

/// The pg_attribute of a column; the first column is 1.
///
/// # Safety
/// The descriptor must have a column of this number.
pub unsafe fn column(descriptor: pg_sys::TupleDesc, number: i32) -> pg_sys::FormData_pg_attribute {
    // SAFETY: as the caller vouches.
    unsafe {
        #[cfg(feature = "pg18")]
        return *pg_sys::TupleDescAttr(descriptor, number - 1);
        #[cfg(not(feature = "pg18"))]
        (*descriptor).attrs.as_slice((*descriptor).natts as usize)[number as usize - 1]
    }
}
