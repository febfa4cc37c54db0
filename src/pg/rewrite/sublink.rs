//! What the sub-queries of a condition ask of columns that a client chooses.

use super::candidate_values::{Collector, MOST, answers, comparison};
use super::qual::elements;
use super::row_security::Undecidable;
use super::vars::{columns_of, stripped};
use pgrx::is_a;
use pgrx::pg_sys::{self, NodeTag};

impl Collector<'_> {
    /// `column IN (SELECT …)` that does not look at the row, or EXISTS that compares a column with one of its own.
    ///
    /// # Safety
    /// The sub-query must be valid.
    pub(crate) unsafe fn sub_query(&mut self, link: *mut pg_sys::SubLink) -> Result<bool, Undecidable> {
        // SAFETY: the tag says which struct a node is; the sub-query is copied before it is changed or run.
        unsafe {
            let link = &*link;
            if !is_a(link.subselect, NodeTag::T_Query) {
                return Ok(false);
            }
            match link.subLinkType {
                pg_sys::SubLinkType::ANY_SUBLINK if columns_of(link.subselect, 1).is_some_and(|c| c.is_empty()) => {
                    if !is_a(link.testexpr, NodeTag::T_OpExpr) {
                        return Ok(false);
                    }
                    let test = &*link.testexpr.cast::<pg_sys::OpExpr>();
                    let arguments = elements::<pg_sys::Node>(test.args);
                    let [left, right] = arguments.as_slice() else { return Ok(false) };
                    let (Some(number), true) = (self.free(*left, 0), is_a(stripped(*right), NodeTag::T_Param)) else {
                        return Ok(false);
                    };
                    let Some(is_equality) = comparison(test.opno) else { return Ok(false) };
                    let values = answers(link.subselect.cast())?;
                    let is_all = values.len() < MOST as usize;
                    Ok(self.add(number, pg_sys::exprType(*right), values, is_equality) && is_all)
                }
                pg_sys::SubLinkType::EXISTS_SUBLINK => self.exists(link.subselect.cast()),
                _ => Ok(false),
            }
        }
    }

    /// # Safety
    /// The query must be valid.
    unsafe fn exists(&mut self, query: *mut pg_sys::Query) -> Result<bool, Undecidable> {
        // SAFETY: a query as the server has made it; what is changed is a copy.
        unsafe {
            let query: *mut pg_sys::Query = pg_sys::copyObjectImpl(query.cast()).cast();
            let of = &mut *query;
            if of.hasAggs || of.hasTargetSRFs || of.hasWindowFuncs || of.jointree.is_null() {
                return Ok(false);
            }
            let lists = [of.groupClause, of.groupingSets, of.cteList];
            if lists.iter().any(|list| !list.is_null()) || !of.setOperations.is_null() || !of.limitCount.is_null() {
                return Ok(false);
            }
            (of.sortClause, of.distinctClause, of.limitOffset) =
                (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
            let from = &mut *of.jointree;
            let (mut kept, mut asked) = (std::ptr::null_mut(), Vec::new());
            for term in elements::<pg_sys::Node>(pg_sys::make_ands_implicit(from.quals.cast())) {
                if columns_of(term, 1).is_some_and(|columns| columns.is_empty()) {
                    kept = pg_sys::lappend(kept, term.cast());
                    continue;
                }
                if !is_a(term, NodeTag::T_OpExpr) {
                    return Ok(false);
                }
                let call = &*term.cast::<pg_sys::OpExpr>();
                let arguments = elements::<pg_sys::Node>(call.args);
                let [left, right] = arguments.as_slice() else { return Ok(false) };
                let pair = [(*left, *right), (*right, *left)].into_iter().find_map(|(one, other)| {
                    let is_inner = columns_of(other, 1).is_some_and(|columns| columns.is_empty());
                    self.free(one, 1).filter(|_| is_inner).map(|number| (number, other))
                });
                let (Some(pair), Some(true)) = (pair, comparison(call.opno)) else { return Ok(false) };
                asked.push(pair);
            }
            from.quals = pg_sys::make_ands_explicit(kept).cast();
            of.targetList = std::ptr::null_mut();
            if columns_of(query.cast(), 1).is_none_or(|columns| !columns.is_empty()) {
                return Ok(false);
            }
            let mut is_all = true;
            for (number, inner) in asked {
                let query: *mut pg_sys::Query = pg_sys::copyObjectImpl(query.cast()).cast();
                let name = pg_sys::pstrdup(c"value".as_ptr());
                let target = pg_sys::makeTargetEntry(pg_sys::copyObjectImpl(inner.cast()).cast(), 1, name, false);
                (*query).targetList = pg_sys::lappend(std::ptr::null_mut(), target.cast());
                let values = answers(query)?;
                is_all &= values.len() < MOST as usize;
                is_all &= self.add(number, pg_sys::exprType(inner), values, true);
            }
            Ok(is_all)
        }
    }
}
