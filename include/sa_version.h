/* The version of the agent. */
#ifndef SA_VERSION_H
#define SA_VERSION_H

/* "0.1.0" */
const char *sa_version(void);

#endif
