/* The rival: a function of the same signature that does nothing. No function can be faster. */
#include "postgres.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(empty_native);

Datum empty_native(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}
