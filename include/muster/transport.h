/// @file
/// How bytes travel.
#pragma once

#include <muster/export.h>

#include <string_view>

namespace muster {

/// The ways in which a communicator can move bytes between ranks.
enum class Transport {
  automatic,  ///< The first of the others that this device, and these ranks, can use.
  shm,        ///< The CPU memory of one machine.
  cuda,       ///< GPUs of one machine that can store into each other's memory.
  /// GPUs by NCCL, whether or not they reach each other. Through scratch memory, and with the
  /// members' host threads meeting in each call; each communicator has one of NCCL's.
  nccl,
};

/// The name of a transport, as written in the enumeration ("nccl").
MUSTER_EXPORT std::string_view to_string(Transport transport) noexcept;

}  // namespace muster
