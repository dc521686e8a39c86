// Shape expressions as TensorRT's builder makes them: constants, or an unknown times a constant.
#pragma once

#include <NvInfer.h>

#include <deque>
#include <stdexcept>

namespace muster::test {

// An expression that is a constant, or `factor` times an unknown.
class Expression final : public nvinfer1::IDimensionExpr, private nvinfer1::apiv::VDimensionExpr {
 public:
  Expression(bool constant, std::int64_t value) : constant_(constant), value_(value) {
    mImpl = this;
  }
  ~Expression() noexcept override = default;

  bool is_constant() const { return constant_; }
  std::int64_t value() const { return value_; }

 private:
  bool isConstant() const override { return constant_; }
  std::int64_t getConstantValue() const override { return value_; }
  bool isSizeTensor() const override { return false; }

  bool constant_;
  std::int64_t value_;  // or the factor
};

class Expressions final : public nvinfer1::IExprBuilder, private nvinfer1::apiv::VExprBuilder {
 public:
  Expressions() { mImpl = this; }
  ~Expressions() noexcept override = default;

  const Expression* unknown() { return &made_.emplace_back(false, 1); }
  const Expression* known(std::int64_t value) { return &made_.emplace_back(true, value); }

 private:
  const nvinfer1::IDimensionExpr* constant(std::int64_t value) override { return known(value); }
  const nvinfer1::IDimensionExpr* operation(nvinfer1::DimensionOperation operation,
                                            const nvinfer1::IDimensionExpr& first,
                                            const nvinfer1::IDimensionExpr& second) override {
    if (operation != nvinfer1::DimensionOperation::kPROD) throw std::logic_error("not a product");
    const auto& a = static_cast<const Expression&>(first);
    const auto& b = static_cast<const Expression&>(second);
    return &made_.emplace_back(a.is_constant() && b.is_constant(), a.value() * b.value());
  }
  const nvinfer1::IDimensionExpr* declareSizeTensor(std::int32_t,
                                                    const nvinfer1::IDimensionExpr&,
                                                    const nvinfer1::IDimensionExpr&) override {
    throw std::logic_error("no size tensor");
  }

  std::deque<Expression> made_;
};

}  // namespace muster::test
