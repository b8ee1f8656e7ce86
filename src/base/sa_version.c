/* base: the version, from configure. */
#include "config.h"

#include "sa_version.h"

const char *sa_version(void)
{
    return SA_VERSION;
}
