export const metadata = { title: "Prices" };

export default function Pricing() {
  return <h1>Prices</h1>;
}
