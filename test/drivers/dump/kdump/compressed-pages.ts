/** A page, and what liblzo2 2.10 (lzo1x_1_compress), libsnappy 1.1.9 and libzstd 1.5.4 (level 1) make of it. */
export const COMPRESSED_PAGES = [
  {
    method: 'LZO',
    flags: 2,
    seed: 1,
    base64:
      'A2d1ZXN0ILQABjEzCmZyYW1lILQABTk1CmVudHJ52AEBODAKACCYAAAAEGxldmVsIDB4ZmZmZjg4ODAgODQKcm9vdCB0YWJsZSAxMQqgASmFADUgZrgDrDO0ACBchAawQSmHBDExCik0AKUUM+QptQU0IGYQBSB94AqsT6UmMisPDjU0CqhXqgQ5NiCkPAWoRbQAIFxICyA9WAikNymIDCBu0BEvfwI2NwqwMqYDNzHAwKZTNTMgOPAJiLG2zjMwzBCnETk1CqhftgA3OSA4DAIgPSwIIER0AagmtAAgADZcDawrtAAFNTkKcGFnZSCyZTI50GWxAzkgS7QkmGe+DjYyKl4jODHQaSkQEiBMZAIgPtgLrB60ACAAJ8ALiFrJsTnMr44CNjEqugs5NyBwIBawFrVxOCYYJYkXOOxzqQQzIJpUKqxdtAAgbMQLKYQRJLkgMib0INAV1KW9+DIgPfQIqA6aojEwuFbdDjQslBYgcRQLIDvEFAABAAAAAAAAAAAAAAAAAAAAAAAAABEAAA==',
  },
  {
    method: 'LZO',
    flags: 2,
    seed: 2,
    base64:
      'ABByb290IHRhYmxlIDcKZW50cnkgbGV2ZWwgOTUKcGFnZSB0rwMwCgAgpQAAtBsGZnJhbWUgNzYKoAG2ADEy2AEFZ3Vlc3QgOTQgi8wDIO4gB7g8ozk4OAq4AYJaMzTUAQoweGZmZmY4ODgwIDQyIIuoByAdIA4p2AO5Izn0YIpIOTXQYLKBMjYgkGQEmBggAF9IE7gvhjEyMMBKrgI2MDD6DTg1kEy4UZMGNjMKnAApsArg0qy1ATkxCgCEBLQKIAAd7Bq8LimqBTU4tC+tKzjMMZWnMqg1IB0IEiCd9AApoAQpKwA2MQq4JZokMzMk9CSxVTggavQkIJHQDKwopvgzMiWQKrbTMzXQibUDNyCScAq0G5YyMzkrphQ0NMwdqgQ0N5CkIJ3sDCAF9AKUIbRpIAAdYBc+tAWgv6MtMzQKuAGelzc11AGKMTcxID/oCZAOrno4MMgPvhI3NSotGjMgFDgqkBjYCcxqoIYmTCHMAyBhmBYpQBnNEgopSACdGDQmlDopYQA5IAt8BgoAAAAAAAAAAAAAAAAAEQAA',
  },
  {
    method: 'snappy',
    flags: 4,
    seed: 1,
    base64:
      'gCAUZ3Vlc3QgCQYgMTMKZnJhbWUgCQYcOTUKZW50cnkNDww4MAoA/gEA/gEA4gEAiGxldmVsIDB4ZmZmZjg4ODAgODQKcm9vdCB0YWJsZSAxMQp0BQkdIgA1/u8A/u8ADe8pnAkG/qIB8qIBSQ09IggxMQodDgmiADMxSgkuADT+RQH+RQEtRf4BAP4BAHYBAEmFKTIAMjKEAwg1NApJuwkjBDk2/lAB/lAB/lABJVBJKwkG/tMC8tMC/gEAdgEAKbp9I/51BP51BDp1BEKgAAg2NwoplQkaBDcxzQFJmgQ1M/59AmJ9AqWLyXYEMzANhAmKBDk1rZppAQQ3Of6EAGKEAP4BAP4BAO4BAA0BKTMJBv5YA/5YA/5YA/5YA/5YA1ZYAylcCQYYNTkKcGFnZW0tBDI5bS0JHQA5/i4Jri4JZT8JeAQ2Mi7YCAQ4MW1NnYX+mgCymgD+AQB6AQAJ9AkG/vEC/vEC/vEC/vEC/vECTfFF062LADmtfAUUBDYxLu8CBDk3/okF/okFQokFCbXJuwA4HkcJBbsAOHGcCSMAM/6WCv6WCuqWCknsCQb+8gL+8gIy8gKdYhYvCAAyHj4IDa2tLunIADL+PgJ2PgIJc6UXBDEwSbcNeAA0NqYF/sYC/sYCRsYC/gEAugEA',
  },
  {
    method: 'snappy',
    flags: 4,
    seed: 2,
    base64:
      'gCB8cm9vdCB0YWJsZSA3CmVudHJ5IGxldmVsIDk1CnBhZ2URHAgwCgD+AQD+AQD+AQAJAQneIGZyYW1lIDc2CgkJCQYEMTINDxxndWVzdCA5NP70AP70AK70AP7JAf7JAf7JAf7JATrJASnnKckEODgND0XRBDM0DQ4wMHhmZmZmODg4MCA0Mv7rAf7rAa7rAfYBAB33KR8AOXEGRUMEOTVtBYkNBDI2/hoB/hoBwhoBBcf+0wT+0wT+0wT+0wT+0wT60wQpfyWKBDIwTVEJFAQ2MEZ/AwQ4NUVlSY8FNQg2MwoFCF2t0ZGprAg5MQr+6QH+6QH+6QH+6QH+6QE16Sl4PWsENTgpfimyADgtjKU+ADIpq/4BAP4BAP4BAO4BAD0pHQsINjEKKS8lJwQzMxY+CUmtADj+Pgn+PgkqPgllVwmq/vEJ/vEJmvEJKUTp0QQzMhqlCsmeBDM1jU0JHgA3/p0C/p0Cyp0CCd4llgQzOTIqBQQ0NA3sCSMENDelJf4BAP4BAP4BAI4BACUO/qQC/qQCsqQC+gEASb8p6P6VDKqVDKn5KWkIMzQKCQ+FwAQ3NQ0OJYsENzH+ewJ+ewIFdWnUBDgwDXsJmAQ3NS6MBgAz0o8KBcUNT21UKXIeVAgNHP6nBe6nBamn3VENlAAKHRMFyAA0HqYOHRkAOeKgAQ==',
  },
  {
    method: 'zstd',
    flags: 32,
    seed: 1,
    base64:
      'KLUv/WAAD60JABJHFheQpx0IiMTq24dv4lJVdZH2MnIs5tjZD+QwU5lNY2nkLN3pxSFUb5vtU100ZUrpIptEC3EL0RwFTrJkGEcRtmPm/3/EGfKDI0AdJ4408No2F5zjS9FSwQ1FXKiRppyCpP0OQAKCjEiZehIoYYNMKJUSFOH/P2T8rAhJxgrMAt19GSJsd1voVpnExMGEOgjZ20kZXFGPhL8bHC5T6UX+jGtbmUqJyAkH5UjyQXnjL/ZfFMcAazCI6NkR8CJcC9VR2EE1mBmSu0Iog6eYpMHlycP8Il9bprbytQECAmgHwcAUJRQObd/CMTIMEA0xAteGALONIw4DD71J6a2yfNoahLk4Fk5lzARfxisHWAPesBCQ8vGUTackpaJcEiGcdWke8XmDIBeqnCJyVzZKvuRv1GB4Gg==',
  },
  {
    method: 'zstd',
    flags: 32,
    seed: 2,
    base64:
      'KLUv/WAAD40KADJIGRiANe0Bj83w24+TeQYD8xVJd7OvsNjMsgNVVeVqnMvYhJdNk1XVkzdLdqYRU7q3jLil2UaDxZR1L3rY3QghBICa3eqXCm8gCjHD94JzoDJ84hBs/Yo/fHEBRxq88X0ROOmSYRwBZKiBmkalTPsGMAJiFJky8xLIAoNMiAkRI/H/QygQeQfJuDjQS3V6uWkSfaGS4tyzn+jnklQSYqDsRg7f433xftR+QkeSEOxCK4mt8NeyCJPZ+gr7hV/VKTzickJ/gQVGvfWzJXMmhRcCAzUxoDCE/5ZwUPRBJJyzpZwrAhGUQAfrqnSQ4XCDxTufc9cT1IxH7IsMXLqZPXCdX9vMdCs/JEbpGFbkxhu/pDmJIFg7aCphIyU4rbNmr4uopHV10BAQR2JEw4SxCEe/25iccu8UG2pAopB6TQZmnkvdR0RN/bGHhcIQ2wnPU1U=',
  },
] as const;

/** Lines that repeat, zeroes, and copies of what came before: all that compressors have words for. */
export function textPage(seed: number): Buffer {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 16;
  const words = ['page', 'table', 'entry', 'frame', 'root', 'level', 'guest', '0xffff8880'];
  let text = '';
  for (let line = 0; text.length < 4096; line++) {
    if (line % 4 === 3) text += '\0'.repeat(next() % 300);
    else text += `${words[next() % 8]} ${words[next() % 8]} ${next() % 100}\n`;
    if (line % 8 === 7) text += text.slice(0, (next() % 400) + 3);
  }
  return Buffer.from(text.slice(0, 4096));
}
