/* Another extension in the same process: takes places for relcache callbacks, of which a process has ten. */

#include "postgres.h"

#include "fmgr.h"
#include "utils/inval.h"

PG_MODULE_MAGIC;

static void
ignore(Datum unused, Oid relation)
{
}

PG_FUNCTION_INFO_V1(take_relcache_slots);

Datum
take_relcache_slots(PG_FUNCTION_ARGS)
{
	for (int32 taken = 0; taken < PG_GETARG_INT32(0); taken++)
		CacheRegisterRelcacheCallback(ignore, (Datum) 0);
	PG_RETURN_VOID();
}
