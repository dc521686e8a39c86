/// @file
/// All of muster's interface.
///
/// muster gathers a tensor that is split over ranks: each rank of a group holds a section along
/// some dimension, and afterwards every rank holds the whole, placed in one copy.
#pragma once

#include <muster/buffer.h>
#include <muster/communicator.h>
#include <muster/device.h>
#include <muster/dtype.h>
#include <muster/error.h>
#include <muster/group.h>
#include <muster/plan.h>
#include <muster/shape.h>
#include <muster/tensor.h>
#include <muster/transport.h>
#include <muster/version.h>
#include <muster/world.h>
