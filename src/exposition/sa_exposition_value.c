/* exposition: the grammar of values and stamps, and UTF-8.
 *
 * A value is what Go's strconv.ParseFloat reads, without the forms that
 * Prometheus refuses ('_' and hexadecimal): model/textparse/promparse.go and
 * expfmt/text_parse.go both do.  A part with one of them would be thrown away
 * whole by its reader. */
#include "sa_exposition_private.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p)
{
    while (is_digit(*p)) {
        p++;
    }
    return p;
}

/* 2^1024 - 2^970: from here on rounding to a double gives infinity, which
 * ParseFloat calls out of range. */
static const char infinite[] =
    "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
    "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
    "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
    "342711559699508093042880177904174497792";
#define INFINITE_DIGITS 309

static int exponent_of(const char *p)
{
    bool negative = *p == '-';
    int exponent = 0;

    if (*p == '-' || *p == '+') {
        p++;
    }
    /* Beyond every page's number of digits; and no overflow. */
    for (; is_digit(*p) && exponent < 100000000; p++) {
        exponent = exponent * 10 + (*p - '0');
    }
    return negative ? -exponent : exponent;
}

/* Is the number in [START, END), whose form is right and which has no sign,
 * too large for a double? */
static bool is_out_of_range(const char *start, const char *end)
{
    const char *p = start;
    apr_int64_t point = 0;      /* the value is 0.DIGITS * 10^point */
    bool fraction = false;
    int place = 0;
    int order = 0;              /* of DIGITS and `infinite` */

    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if (place == 0 && *p == '0') {
            point -= fraction ? 1 : 0;
            continue;
        }
        point += fraction ? 0 : 1;
        if (place < INFINITE_DIGITS && order == 0) {
            order = *p - infinite[place];
        }
        place++;
    }
    if (place == 0) {
        return false;
    }
    if (p < end) {
        point += exponent_of(p + 1);
    }
    if (order == 0 && place < INFINITE_DIGITS) {
        order = -1;
    }
    return point > INFINITE_DIGITS || (point == INFINITE_DIGITS && order >= 0);
}

static bool is_word(const char *start, const char *end, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(end - start) != length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((start[i] | 0x20) != word[i]) {
            return false;
        }
    }
    return true;
}

static const char *skip_special(const char *start, const char *end)
{
    const char *p = start;
    const char *word_end = start;

    while (word_end < end && *word_end != ' ' && *word_end != '\t') {
        word_end++;
    }
    if (is_word(start, word_end, "nan")) {      /* ParseFloat: no sign */
        return word_end;
    }
    if (*p == '+' || *p == '-') {
        p++;
    }
    return is_word(p, word_end, "inf") || is_word(p, word_end, "infinity") ? word_end : NULL;
}

const char *sa_exposition__skip_value(const char *start, const char *end)
{
    const char *p = start;
    const char *number;
    const char *exponent;
    size_t digits;
    bool may_be_large;

    if (*p == '+' || *p == '-') {
        p++;
    }
    number = p;
    p = skip_digits(p);
    digits = (size_t)(p - number);
    may_be_large = digits > 200;
    if (*p == '.') {
        const char *fraction = p + 1;

        p = skip_digits(fraction);
        digits += (size_t)(p - fraction);
    }
    if (digits == 0) {
        return skip_special(start, end);
    }
    if (*p == 'e' || *p == 'E') {
        exponent = p + 1 + (p[1] == '+' || p[1] == '-');
        p = skip_digits(exponent);
        if (p == exponent) {
            return NULL;
        }
        may_be_large = may_be_large || p - exponent > 2;
    }
    if (*p != ' ' && *p != '\t' && p != end) {
        return NULL;
    }
    return may_be_large && is_out_of_range(number, p) ? NULL : p;
}

/* Prometheus takes no sign here. */
const char *sa_exposition__skip_stamp(const char *start, const char *end)
{
    static const char largest[] = "9223372036854775807";
    const char *p = skip_digits(start);
    const char *first = start;
    size_t length;

    if (p == start || (*p != ' ' && *p != '\t' && p != end)) {
        return NULL;
    }
    while (first < p && *first == '0') {
        first++;
    }
    length = (size_t)(p - first);
    if (length > sizeof(largest) - 1 ||
        (length == sizeof(largest) - 1 && memcmp(first, largest, length) > 0)) {
        return NULL;
    }
    return p;
}
