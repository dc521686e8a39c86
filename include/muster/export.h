/// @file
/// MUSTER_EXPORT marks what the shared library exports; everything else is hidden.
#pragma once

#define MUSTER_EXPORT __attribute__((visibility("default")))
