/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/logistic.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"

/* Twenty flowers of two kinds that overlap: sepal length and width, petal length and width, in cm. */
static const float flowers[][4] = {
    { 7.0f, 3.2f, 4.7f, 1.4f }, { 5.7f, 2.8f, 4.5f, 1.3f }, { 5.0f, 2.0f, 3.5f, 1.0f },
    { 6.7f, 3.1f, 4.4f, 1.4f }, { 5.9f, 3.2f, 4.8f, 1.8f }, { 6.6f, 3.0f, 4.4f, 1.4f },
    { 5.5f, 2.4f, 3.8f, 1.1f }, { 5.4f, 3.0f, 4.5f, 1.5f }, { 5.5f, 2.5f, 4.0f, 1.3f },
    { 5.0f, 2.3f, 3.3f, 1.0f }, { 6.3f, 3.3f, 6.0f, 2.5f }, { 7.6f, 3.0f, 6.6f, 2.1f },
    { 6.5f, 3.2f, 5.1f, 2.0f }, { 6.4f, 3.2f, 5.3f, 2.3f }, { 6.9f, 3.2f, 5.7f, 2.3f },
    { 6.2f, 2.8f, 4.8f, 1.8f }, { 6.4f, 2.8f, 5.6f, 2.1f }, { 6.3f, 3.4f, 5.6f, 2.4f },
    { 6.7f, 3.1f, 5.6f, 2.4f }, { 6.3f, 2.5f, 5.0f, 1.9f },
};
static const uint8_t virginica[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

/* What scikit-learn gives for these rows: LogisticRegression(C=c, tol=1e-12, solver='newton-cholesky') on
 * StandardScaler's output. */
Test(logistic, gives_the_weights_of_scikit_learn)
{
    static const struct {
        double c, weights[4], intercept, first, fifth, sixteenth;
    } cases[] = {
        { 1,
          { 0.423831757319, -0.374053379048, 1.043623578958, 1.494556771101 },
          -0.000285644426,
          0.256279584096,
          0.398010227172,
          0.545442050056 },
        { 100,
          { 2.361119705353, -4.128656043169, 3.447773147026, 5.799005774319 },
          1.32594174551,
          0.018150629401,
          0.061582068661,
          0.943023493248 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct logistic model;
        struct why why;

        cr_assert_eq(logistic_fit(&model, flowers[0], virginica, 20, 4, cases[i].c, &why), ERR_OK, "%s",
                     why.text);
        for (size_t j = 0; j < 4; j++)
            cr_expect_float_eq(model.weights[j], cases[i].weights[j], 1e-7);
        cr_expect_float_eq(model.intercept, cases[i].intercept, 1e-7);
        cr_expect_float_eq(logistic_probability(&model, flowers[0]), cases[i].first, 1e-7);
        cr_expect_float_eq(logistic_probability(&model, flowers[4]), cases[i].fifth, 1e-7);
        cr_expect_float_eq(logistic_probability(&model, flowers[15]), cases[i].sixteenth, 1e-7);
        logistic_release(&model);
    }
}

Test(logistic, takes_a_missing_value_as_the_mean_and_leaves_out_a_constant_column)
{
    const float rows[][3] = { { 1, 5, NAN }, { 2, 5, 1 },      { 3, 5, 2 },
                              { 4, 5, 3 },   { 2.5f, 5, NAN }, { 3, 5, 2 } };
    const float mean[] = { 2, 5, 2 }, missing[] = { 2, 5, NAN }, odd[] = { 2, 900, 2 };
    const uint8_t labels[] = { 0, 0, 1, 1, 0, 0 };
    struct logistic model;
    struct why why;

    cr_assert_eq(logistic_fit(&model, rows[0], labels, 6, 3, 1, &why), ERR_OK);
    cr_assert_float_eq(logistic_margin(&model, missing), logistic_margin(&model, mean), 1e-12);
    cr_assert_eq(logistic_margin(&model, odd), logistic_margin(&model, mean));
    logistic_release(&model);
}

/* Two classes that a line parts: only the penalty keeps the weights finite. */
Test(logistic, stays_finite_on_classes_that_do_not_overlap)
{
    const float rows[] = { 1, 2, 3, 10, 11, 12 };
    const uint8_t labels[] = { 0, 0, 0, 1, 1, 1 };
    struct logistic model;
    struct why why;

    cr_assert_eq(logistic_fit(&model, rows, labels, 6, 1, 1e6, &why), ERR_OK, "%s", why.text);
    cr_assert(isfinite(model.weights[0]));
    cr_assert_gt(logistic_probability(&model, &rows[3]), 0.99);
    logistic_release(&model);
}

Test(logistic, refuses_one_class)
{
    const float rows[] = { 1, 2 };
    const uint8_t one[] = { 1, 1 }, both[] = { 0, 1 };
    struct logistic model;
    struct why why;

    cr_assert_eq(logistic_fit(&model, rows, one, 2, 1, 1, &why), ERR_INVALID);
    cr_assert_eq(logistic_fit(&model, rows, both, 2, 1, 0, &why), ERR_INVALID);
    cr_assert_eq(logistic_fit(&model, rows, both, 0, 1, 1, &why), ERR_INVALID);
}
