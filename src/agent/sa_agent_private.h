/* agent, private: what its files share. */
#ifndef SA_AGENT_PRIVATE_H
#define SA_AGENT_PRIVATE_H

#include "sa_error.h"

sa_error_t *sa_agent__open_libraries(void) SA_MUST_CHECK;
void sa_agent__close_libraries(void);

#endif
