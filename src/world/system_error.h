// Failures of system calls as muster::Error.
#pragma once

#include <muster/error.h>

#include <string>

namespace muster::world {

// "bind /tmp/job/0: Permission denied", of code system; out_of_memory for ENOMEM. When descriptors
// ran out (EMFILE, ENFILE), the text has the limit and how to raise it.
Error system_error(const std::string& operation, int error_number);

}  // namespace muster::world
