"use client";

import Link from "next/link";
import posthog from "posthog-js";

export default function Home() {
  return (
    <main>
      <h1>Shop</h1>
      {/* PostHog captures clicks by itself. */}
      <button type="button">Buy now</button>
      {/* An event of our own, with what it is about. */}
      <button
        type="button"
        onClick={() => posthog.capture("coupon_applied", { code: "SPRING", total: 42 })}
      >
        Apply coupon
      </button>
      <Link href="/pricing">Prices</Link>
    </main>
  );
}
